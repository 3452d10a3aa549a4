/** A local server in a hub's layout, and an environment that points to it. */
const golden = new URL("./golden/class_conditional/", import.meta.url);

/** The files of the golden folder that the hub has. */
export const hubFiles = [
  "model_index.json",
  "unet/config.json",
  "unet/diffusion_pytorch_model.safetensors",
  "scheduler/scheduler_config.json",
];

export type Handler = (path: string, request: Request) => Response | Promise<Response>;

export function serve(handler: Handler) {
  const requests: string[] = [];
  const server = Deno.serve({ port: 0, hostname: "127.0.0.1", onListen: () => {} }, (request) => {
    const { pathname } = new URL(request.url);
    requests.push(pathname);
    return handler(pathname, request);
  });
  return {
    requests,
    origin: `http://127.0.0.1:${server.addr.port}`,
    [Symbol.asyncDispose]: () => server.shutdown(),
  };
}

/** The golden folder below `/owner/name/resolve/main/`, as the hub lays it out. */
export const hub: Handler = async (path) => {
  const match = /^\/owner\/name\/resolve\/(?:main|v1)\/(.*)$/.exec(path);
  if (!match || !hubFiles.includes(match[1])) return new Response("no", { status: 404 });
  const bytes = await Deno.readFile(new URL(match[1], golden));
  return new Response(bytes, { headers: { "content-length": String(bytes.length) } });
};

export async function withEnvironment<T>(values: Record<string, string>, run: () => Promise<T>) {
  const before = Object.keys(values).map((key) => [key, Deno.env.get(key)] as const);
  for (const [key, value] of Object.entries(values)) Deno.env.set(key, value);
  try {
    return await run();
  } finally {
    for (const [key, value] of before) {
      if (value === undefined) Deno.env.delete(key);
      else Deno.env.set(key, value);
    }
  }
}
