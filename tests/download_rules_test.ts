/** What a download takes, from where, how much of it, and what it says meanwhile. */
import { assert, assertEquals, assertRejects } from "@std/assert";
import { InputError } from "../src/errors.ts";
import { sha256Hex } from "../src/files/hash.ts";
import { writeZip } from "../src/files/zip.ts";
import { DownloadCache } from "../src/weights/find/cache.ts";
import {
  download,
  type DownloadOptions,
  type DownloadProgress,
} from "../src/weights/find/download.ts";
import { locate } from "../src/weights/find/locate.ts";
import { temporaryFolder } from "./cli.ts";
import { serve, withEnvironment } from "./hub.ts";

const bytes = (text: string) => new TextEncoder().encode(text);

type Answer = (url: URL, init?: RequestInit) => Response | Promise<Response>;

/** Downloads with every request answered by a function; what was asked for. */
async function answered(answer: Answer, address: string, options?: DownloadOptions) {
  const asked: string[] = [];
  const real = globalThis.fetch;
  globalThis.fetch = ((url: URL, init?: RequestInit) => {
    asked.push(url.href);
    return Promise.resolve(answer(url, init));
  }) as typeof fetch;
  try {
    return { asked, bytes: await download(new URL(address), options) };
  } finally {
    globalThis.fetch = real;
  }
}

const place = "https://example.org/w.bin";
const redirect = (location: string) => new Response(null, { status: 302, headers: { location } });
const body = (size: number, headers: HeadersInit = {}) => () =>
  new Response(new Uint8Array(size).fill(7), { headers });

Deno.test("a file of just the most bytes is taken, one more is not, announced or not", async () => {
  for (const announced of [true, false]) {
    const file = (size: number) =>
      body(size, announced ? { "content-length": String(size) } : undefined);
    const { bytes } = await answered(file(100), place, { maxBytes: 100 });
    assertEquals(bytes, new Uint8Array(100).fill(7));
    await assertRejects(
      () => answered(file(101), place, { maxBytes: 100 }),
      InputError,
      announced
        ? `${place}: has 101 bytes, at most 100 are taken`
        : `${place}: more than the 100 bytes that are taken`,
    );
  }
  assertEquals((await answered(body(0), place)).bytes, new Uint8Array());
  // Unless another limit is said, 4 GiB.
  const announcing = (size: number) => body(1, { "content-length": String(size) });
  await assertRejects(
    () => answered(announcing(4 * 2 ** 30 + 1), place),
    InputError,
    `${place}: has 4294967297 bytes, at most 4294967296 are taken`,
  );
  await assertRejects(
    () => answered(announcing(4 * 2 ** 30), place),
    InputError,
    "4294967296 bytes were announced, 1 arrived",
  );
});

Deno.test("as many bytes have to arrive as were announced, unless they were compressed on the way", async () => {
  for (const length of ["99", "101"]) {
    await assertRejects(
      () => answered(body(100, { "content-length": length }), place),
      InputError,
      `${place}: ${length} bytes were announced, 100 arrived`,
    );
  }
  const compressed = { "content-length": "20", "content-encoding": "gzip" };
  const told: DownloadProgress[] = [];
  const onProgress = (progress: DownloadProgress) => void told.push(progress);
  assertEquals((await answered(body(100, compressed), place, { onProgress })).bytes?.length, 100);
  assertEquals(told.map(({ received, total }) => [received, total]), [[100, undefined], [
    100,
    100,
  ]]);
});

Deno.test("progress is told of every piece, and ends with the whole", async () => {
  const pieces = (headers: HeadersInit) => () => {
    const stream = ReadableStream.from([3, 4, 5].map((size) => new Uint8Array(size)));
    return new Response(stream as ReadableStream<Uint8Array<ArrayBuffer>>, { headers });
  };
  const of = async (headers: HeadersInit) => {
    const told: unknown[] = [];
    await answered(pieces(headers), place, {
      onProgress: ({ url, received, total }) => {
        assertEquals(url, place);
        told.push([received, total]);
      },
    });
    return told;
  };
  assertEquals(await of({ "content-length": "12" }), [[3, 12], [7, 12], [12, 12]]);
  assertEquals(await of({}), [[3, undefined], [7, undefined], [12, undefined], [12, 12]]);
});

Deno.test("five redirects are followed, the sixth is one too many", async () => {
  const after = (count: number) => (url: URL) => {
    const step = Number(url.pathname.slice(1));
    return step < count ? redirect(`/${step + 1}`) : new Response("there");
  };
  const { asked, bytes } = await answered(after(5), "https://example.org/0");
  assertEquals([asked.length, new TextDecoder().decode(bytes)], [6, "there"]);
  await assertRejects(
    () => answered(after(6), "https://example.org/0"),
    InputError,
    "https://example.org/0: more than 5 redirects",
  );
});

Deno.test("a redirect is an answer of 300 to 399 that says where to", async () => {
  const there = { location: "/there" };
  for (const status of [300, 301, 308, 399]) {
    const { asked } = await answered(
      (url) => url.href === place ? new Response(null, { status, headers: there }) : body(1)(),
      place,
    );
    assertEquals(asked, [place, "https://example.org/there"]);
  }
  const { asked, bytes } = await answered(body(3, there), place);
  assertEquals([asked.length, bytes?.length], [1, 3]);
  for (const [status, headers] of [[302, {}], [304, {}], [400, there], [500, there]] as const) {
    await assertRejects(
      () => answered(() => new Response(null, { status, headers }), place),
      InputError,
      `the server answered ${status}`,
    );
  }
});

Deno.test("a redirect's place is read from where it was told, as a link is", async () => {
  for (
    const [location, leads] of [
      ["beside", "https://example.org/a/beside"],
      ["../above", "https://example.org/above"],
      ["/root", "https://example.org/root"],
      ["?v=2", "https://example.org/a/file?v=2"],
      ["//other.example/b", "https://other.example/b"],
      ["https://other.example/b", "https://other.example/b"],
    ]
  ) {
    const from = "https://example.org/a/file";
    const { asked } = await answered(
      (url) => url.href === from ? redirect(location) : body(1)(),
      from,
    );
    assertEquals(asked, [from, leads], location);
  }
});

Deno.test("a browser does not show redirects, and follows them by its own rules", async () => {
  const { signal } = new AbortController();
  const asked: unknown[] = [];
  const browser: Answer = (url, init) => {
    const { authorization } = init!.headers as Record<string, string>;
    asked.push([url.href, init!.redirect, authorization, init!.signal === signal]);
    if (init!.redirect !== "manual") return body(3)();
    return Object.defineProperty(new Response(null), "type", { value: "opaqueredirect" });
  };
  const { bytes } = await answered(browser, place, { signal, token: () => "hf_x" });
  assertEquals(bytes?.length, 3);
  assertEquals(asked, [
    [place, "manual", "Bearer hf_x", true],
    [place, undefined, "Bearer hf_x", true],
  ]);
});

Deno.test("another machine's redirect leads to no place on this one, by name or by number", async () => {
  const here = ["localhost", "a.localhost", "localhost.", "127.0.0.1", "127.9.9.9", "0.0.0.0"];
  here.push("169.254.169.254", "[::1]", "[::]", "[fe80::1]", "[febf::1]", "[::ffff:127.0.0.1]");
  here.push("[::ffff:169.254.1.1]", "[::ffff:0.0.0.0]", "2130706433", "0x7f.1");
  for (const host of here) {
    const to = new URL(`https://${host}:8443/x`);
    await assertRejects(
      () => answered(() => redirect(to.href), place),
      InputError,
      `${place}: redirects to this machine (${to.host}), which is refused`,
    );
  }
  const elsewhere = [
    "example.com",
    "mylocalhost",
    "localhost.example.org",
    "128.0.0.1",
    "1.27.0.1",
  ];
  elsewhere.push("[2001:db8::1]", "[fec0::1]", "169.253.1.1", "[::ffff:8.8.8.8]");
  for (const host of elsewhere) {
    const to = new URL(`https://${host}/x`).href;
    const { asked } = await answered((url) => url.href === place ? redirect(to) : body(1)(), place);
    assertEquals(asked, [place, to]);
  }
  // From this machine it may.
  const from = "http://localhost:1/w", to = "http://127.0.0.1:2/w";
  const { asked } = await answered((url) => url.href === from ? redirect(to) : body(1)(), from);
  assertEquals(asked, [from, to]);
});

Deno.test("a refusal says what was answered; of a token only where one may help", async () => {
  const status = (status: number, options?: DownloadOptions) =>
    answered(() => new Response("no", { status }), place, options);
  const token = () => "hf_x";
  for (const [code, helps] of [[401, true], [403, true], [400, false], [500, false]] as const) {
    for (const given of [token, undefined]) {
      const { message } = await assertRejects(
        () => status(code, { token: given }),
        InputError,
      ) as Error;
      const hint = helps && given === token
        ? "; a private or gated repository is read with a token in HF_TOKEN, one of another name is not there"
        : "";
      assertEquals(message, `${place}: expected the file, the server answered ${code}${hint}`);
    }
  }
  assertEquals((await status(404)).bytes, undefined);
  assertEquals((await status(403, { optional: true })).bytes, undefined);
});

Deno.test("an abort reaches the request and the body, and is told as what it is", async () => {
  const reason = new DOMException("stopped", "AbortError");
  const stop = new AbortController();
  const never: Answer = (_, init) =>
    new Promise((_, reject) => {
      init!.signal!.addEventListener("abort", () => reject(new Error("network")));
      stop.abort(reason);
    });
  const asking = answered(never, place, { signal: stop.signal });
  assertEquals(await asking.catch((error) => error), reason);

  const later = new AbortController();
  const breaks: Answer = () => {
    const stream = new ReadableStream<Uint8Array<ArrayBuffer>>({
      pull(controller) {
        later.abort(reason);
        controller.error(new Error("network"));
      },
    });
    return new Response(stream);
  };
  const reading = answered(breaks, place, { signal: later.signal });
  assertEquals(await reading.catch((error) => error), reason);
  await assertRejects(
    () => answered(breaks, place),
    InputError,
    `${place}: the download broke off (network)`,
  );
  const refuses: Answer = () => Promise.reject(new Error("no route"));
  await assertRejects(
    () => answered(refuses, place),
    InputError,
    `${place}: could not be fetched (no route)`,
  );
});

Deno.test("a file by itself has its neighbours asked for with what stands behind its address", async () => {
  await using folder = await temporaryFolder();
  await using server = serve((path, request) => {
    const { search } = new URL(request.url);
    return search === "?token=1" ? new Response(path) : new Response("no", { status: 401 });
  });
  await withEnvironment({ DENOISE_CACHE: folder.path }, async () => {
    const files = await locate(`${server.origin}/w/a.safetensors?token=1`);
    const read = async (name: string) => new TextDecoder().decode(await files.read(name));
    assertEquals(files.file, "a.safetensors");
    assertEquals([await read("a.safetensors"), await read("config.json")], [
      "/w/a.safetensors",
      "/w/config.json",
    ]);
  });
});

Deno.test("a kept file that has not the hash it should is asked for again the next time", async () => {
  await using folder = await temporaryFolder();
  const [old, young] = await Promise.all(
    ["1", "2"].map((text) =>
      writeZip(new Map([["w.safetensors", new TextEncoder().encode(text)]]))
    ),
  );
  let current = old;
  await using server = serve(() => new Response(current));
  await withEnvironment({ DENOISE_CACHE: folder.path }, async () => {
    const files = await locate(`${server.origin}/w.zip`);
    await files.settle!(true);
    current = young;
    const hashed = `${server.origin}/w.zip#sha256=${await sha256Hex(young)}`;
    await assertRejects(() => locate(hashed), InputError, "expected SHA-256");
    await locate(hashed);
    assertEquals(server.requests.length, 2);
  });
});

Deno.test("--refresh asks again for what may change, and not for what lies under a commit", async () => {
  await using folder = await temporaryFolder();
  const sha = "a".repeat(40);
  const siblings = ["unet/config.json", "unet/w.bin", "README.md"].map((rfilename) => ({
    rfilename,
  }));
  await using server = serve((path) =>
    path.startsWith("/api/") ? Response.json({ sha, siblings }) : new Response(path)
  );
  const environment = { DENOISE_CACHE: folder.path, HF_ENDPOINT: server.origin };
  await withEnvironment(environment, async () => {
    const asked = async (refresh: boolean) => {
      const before = server.requests.length;
      const files = await locate("hf:o/n/unet", { refresh });
      // Of a folder in a repository what is in it, by its name there.
      assertEquals(await files.list!(), ["config.json", "w.bin"]);
      await files.read("config.json");
      await files.settle!(true);
      return server.requests.slice(before);
    };
    const api = "/api/models/o/n/revision/main";
    assertEquals(await asked(false), [api, `/o/n/resolve/${sha}/unet/config.json`]);
    assertEquals(await asked(false), []);
    assertEquals(await asked(true), [api]);
  });
});

Deno.test("a store keeps what it is told is whole, and forgets what was kept of what is not", async () => {
  await using folder = await temporaryFolder();
  await using server = serve((path) =>
    path === "/none" ? new Response("no", { status: 404 }) : new Response(path)
  );
  const url = (path: string) => new URL(path, server.origin);
  const asks = async (store: DownloadCache, path: string, refresh = false) => {
    const before = server.requests.length;
    await store.fetch(url(path), { refresh });
    return server.requests.length - before;
  };
  const first = new DownloadCache(folder.path);
  assertEquals([await asks(first, "/a"), await asks(first, "/a")], [1, 0], "once a reading");
  assertEquals([await asks(first, "/none"), await asks(first, "/none")], [1, 0]);
  assertEquals(await first.settle(true), false);

  const second = new DownloadCache(folder.path);
  assertEquals([await asks(second, "/a"), await asks(second, "/none")], [0, 1]);
  assertEquals(await asks(second, "/b"), 1);
  const kept = () => [...Deno.readDirSync(`${folder.path}/addresses`)].length;
  assertEquals(kept(), 2);
  assertEquals(await second.settle(false), true, "some of it had been kept");
  assertEquals(kept(), 1, "and is gone by now");
  assertEquals([await asks(second, "/a"), await asks(second, "/b")], [1, 1]);
  assertEquals(await second.settle(false), false, "none of it had");

  const third = new DownloadCache(folder.path);
  assertEquals(await asks(third, "/a"), 1);
  await third.settle(true);
  const fourth = new DownloadCache(folder.path);
  assertEquals([await asks(fourth, "/a", true), await asks(fourth, "/a", true)], [1, 0]);
  assert((await fourth.fetch(url("/a"))) !== undefined);
});

Deno.test("where nothing may be kept weights are downloaded each time", async () => {
  await using server = serve((path) =>
    path === "/w/a.json" ? new Response("{}") : new Response("no", { status: 404 })
  );
  const none = { DENOISE_CACHE: "", XDG_CACHE_HOME: "", LOCALAPPDATA: "", HOME: "" };
  await withEnvironment(none, async () => {
    const files = await locate(`${server.origin}/w`);
    for (let i = 0; i < 2; i++) assertEquals(await files.read("a.json"), bytes("{}"));
    assertEquals([await files.settle!(true), await files.settle!(false)], [false, false]);
    assertEquals(server.requests, ["/w/a.json", "/w/a.json"]);
    const zip = `${server.origin}/w.zip`;
    await assertRejects(
      () => locate(zip),
      InputError,
      `${zip}: expected a .zip file, found nothing`,
    );
  });
});
