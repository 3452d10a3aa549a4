/** The repository over loopback, as a web server or a CDN would show it. */

const types: Record<string, string> = {
  ts: "application/typescript",
  js: "application/javascript",
  json: "application/json",
};

export interface RepositoryServer extends AsyncDisposable {
  readonly origin: string;
  /** The paths that were asked for, in order. */
  readonly requests: string[];
}

export function serveRepository(): RepositoryServer {
  const root = new URL("../", import.meta.url);
  const requests: string[] = [];
  const server = Deno.serve(
    { port: 0, hostname: "127.0.0.1", onListen: () => {} },
    async (request) => {
      const { pathname } = new URL(request.url);
      requests.push(pathname);
      try {
        const file = await Deno.readFile(new URL(`.${pathname}`, root));
        const type = types[pathname.split(".").at(-1)!] ?? "application/octet-stream";
        return new Response(file, { headers: { "content-type": type } });
      } catch {
        return new Response("not found", { status: 404 });
      }
    },
  );
  return {
    origin: `http://127.0.0.1:${server.addr.port}`,
    requests,
    [Symbol.asyncDispose]: () => server.shutdown(),
  };
}
