/** Weights from disc, archives, addresses and a hub's layout, on a local server. */
import { assert, assertEquals, assertRejects, assertThrows } from "@std/assert";
import { InputError } from "../src/errors.ts";
import { writeZip } from "../src/files/zip.ts";
import { DownloadCache } from "../src/weights/find/cache.ts";
import { download } from "../src/weights/find/download.ts";
import { hubFiles as filesOnHub, type HubPlace, hubPlace } from "../src/weights/find/hub.ts";
import { readFolder } from "../src/weights/read/folder.ts";
import { sha256Hex } from "../src/files/hash.ts";
import { parseSafetensors } from "../src/files/safetensors.ts";
import { writeTorch } from "./torch_fixtures.ts";
import { locate } from "../src/weights/find/locate.ts";
import { temporaryFolder } from "./cli.ts";
import { hub, hubFiles, serve, withEnvironment } from "./hub.ts";

const golden = new URL("./golden/class_conditional/", import.meta.url);
const bytes = (text: string) => new TextEncoder().encode(text);
const weightsHash = await sha256Hex(await Deno.readFile(new URL(hubFiles[2], golden)));

Deno.test("hf:owner/name reads the hub's layout, and a second run needs no network", async () => {
  await using cache = await temporaryFolder();
  const environment = { DENOISE_CACHE: cache.path, HF_ENDPOINT: "" };
  let first;
  {
    await using server = serve(hub);
    environment.HF_ENDPOINT = server.origin;
    first = await withEnvironment(
      environment,
      async () => readFolder(await locate("hf:owner/name")),
    );
    const [asked, ...rest] = server.requests;
    assertEquals(asked, "/api/models/owner/name/revision/main");
    assert(rest.every((path) => path.startsWith("/owner/name/resolve/main/")));
    await withEnvironment(environment, async () => readFolder(await locate("hf:owner/name@v1")));
  }
  const again = await withEnvironment(
    environment,
    async () => readFolder(await locate("hf:owner/name")),
  );
  assertEquals(again.hash, first.hash);
});

Deno.test("a zip is read from disc and from an address, its folder in it or not", async () => {
  await using folder = await temporaryFolder();
  const expected = await readFolder(await locate(golden));
  for (const prefix of ["", "weights/"]) {
    const entries = hubFiles.map(async (name) =>
      [prefix + name, await Deno.readFile(new URL(name, golden))] as const
    );
    const zip = await writeZip(new Map(await Promise.all(entries)));
    await Deno.writeFile(`${folder.path}/w.zip`, zip);
    assertEquals((await readFolder(await locate(`${folder.path}/w.zip`))).hash, expected.hash);

    await using server = serve(() => new Response(zip));
    const hash = await sha256Hex(zip);
    await withEnvironment({ DENOISE_CACHE: `${folder.path}/cache` }, async () => {
      const files = await locate(`${server.origin}/w.zip#sha256=${hash}`);
      assertEquals((await readFolder(files)).hash, expected.hash);
    });
  }
});

Deno.test("#sha256= is checked", async () => {
  const right = await locate(`${golden.href}#sha256=${weightsHash}`);
  await readFolder(right);
  const wrong = await locate(`${golden.href}#sha256=${"0".repeat(64)}`);
  await assertRejects(() => readFolder(wrong), InputError, weightsHash);
  await assertRejects(() => locate("digits#sha256=12"), InputError, "64 hexadecimal digits");
});

Deno.test("a repository that has only PyTorch's files is read", async () => {
  await using cache = await temporaryFolder();
  const tensors = parseSafetensors(await Deno.readFile(new URL(hubFiles[2], golden))).tensors;
  const pickle = await writeTorch(tensors);
  await using server = serve((path) =>
    path.endsWith("unet/diffusion_pytorch_model.bin")
      ? new Response(pickle)
      : path.endsWith(".safetensors")
      ? new Response("no", { status: 404 })
      : hub(path.replace("/w/", "/owner/name/resolve/main/"), new Request("http://x"))
  );
  await withEnvironment({ DENOISE_CACHE: cache.path }, async () => {
    const folder = await readFolder(await locate(`${server.origin}/w/`));
    assertEquals(folder.tensors, tensors);
  });
});

Deno.test("a download is capped while it streams, whatever is announced", async () => {
  await using server = serve(() => {
    const chunk = new Uint8Array(1000);
    return new Response(ReadableStream.from(Array(100).fill(chunk)));
  });
  const error = await assertRejects(
    () => download(new URL(server.origin), { maxBytes: 5000 }),
    InputError,
  );
  assert(error.message.includes("5000"));
});

Deno.test("an answer that is cut off leaves nothing in the cache", async () => {
  await using cache = await temporaryFolder();
  await using server = serve(() => {
    const cut = new ReadableStream({
      start(controller) {
        controller.enqueue(new Uint8Array(10));
        setTimeout(() => controller.error(new Error("cut")), 5);
      },
    });
    return new Response(cut, { headers: { "content-length": "100" } });
  });
  const store = new DownloadCache(cache.path);
  await assertRejects(() => store.fetch(new URL(`${server.origin}/x`)), InputError, "broke off");
  assertEquals([...Deno.readDirSync(cache.path)], []);
});

Deno.test("a damaged blob in the cache is fetched again", async () => {
  await using cache = await temporaryFolder();
  await using server = serve(() => new Response("weights"));
  const store = new DownloadCache(cache.path);
  const url = new URL(`${server.origin}/x`);
  await store.fetch(url);
  await store.settle(true);
  for (const { name } of Deno.readDirSync(`${cache.path}/blobs`)) {
    await Deno.writeTextFile(`${cache.path}/blobs/${name}`, "damaged");
  }
  assertEquals(new TextDecoder().decode(await store.fetch(url)), "weights");
  assertEquals(server.requests.length, 2);
});

Deno.test("a cache that cannot be written is named, and what may be done", async () => {
  await using folder = await temporaryFolder();
  await using server = serve(() => new Response("x"));
  await Deno.writeFile(`${folder.path}/file`, bytes(""));
  const cache = new DownloadCache(`${folder.path}/file/cache`);
  assertEquals(await cache.fetch(new URL(server.origin)), bytes("x"));
  const { message } = await assertRejects(() => cache.settle(true), InputError) as Error;
  const start = `the download cache ${folder.path}/file/cache cannot be written (`;
  assert(message.startsWith(start), message);
  assert(message.endsWith("); set DENOISE_CACHE to a folder that can"), message);
});

Deno.test("one address is asked once, whatever stands behind its #; another ? is another", async () => {
  await using folder = await temporaryFolder();
  await using server = serve(() => new Response("x"));
  for (const asked of [2, 2]) {
    const cache = new DownloadCache(folder.path);
    for (const end of ["w", "w#a", "w#b", "w?v=1", "w?v=1#a"]) {
      assertEquals(await cache.fetch(new URL(`${server.origin}/${end}`)), bytes("x"));
    }
    assertEquals(server.requests.length, asked);
    await cache.settle(true);
  }
});

Deno.test("redirects are followed, held to the same rule, and end", async () => {
  await using server = serve((path) => {
    if (path === "/there") return new Response("found");
    const to = { "/away": "http://192.0.2.1/x", "/loop": "/loop" }[path] ?? "/there";
    return new Response(null, { status: 302, headers: { location: to } });
  });
  const get = (path: string) => download(new URL(path, server.origin));
  assertEquals(new TextDecoder().decode(await get("/here")), "found");
  await assertRejects(() => get("/away"), InputError, "https only");
  await assertRejects(() => get("/loop"), InputError, "redirects");
});

Deno.test("other places are refused by name", async () => {
  for (const place of ["", "hf:owner", "hf:../../etc/x", "hf:a/b@../c"]) {
    await assertRejects(() => locate(place), InputError, "expected");
  }
});

Deno.test("a place on the Hub is a repository, a path in it and a revision; none leads out of it", () => {
  const repository = "owner/name";
  const page = `https://huggingface.co/${repository}`;
  const places: [string, HubPlace | undefined][] = [
    ["hf:owner/name", { repository, path: "", revision: "main" }],
    ["hf:owner/name/unet/", { repository, path: "unet", revision: "main" }],
    ["hf:owner/name/a/b.onnx@refs/pr/1", { repository, path: "a/b.onnx", revision: "refs/pr/1" }],
    ["hf:owner/v1..2", { repository: "owner/v1..2", path: "", revision: "main" }],
    [page, { repository, path: "", revision: "main" }],
    [`${page}/tree/refs%2Fpr%2F1/un%20et`, { repository, path: "un et", revision: "refs/pr/1" }],
    [`${page}/blob/v1/unet/model.onnx`, { repository, path: "unet/model.onnx", revision: "v1" }],
    [`${page}/discussions/1`, undefined],
    ["https://huggingface.co/datasets/owner/name", undefined],
    ["https://example.org/owner/name", undefined],
  ];
  for (const [place, expected] of places) assertEquals(hubPlace(place), expected, place);
  const outside = [
    "hf:../../etc/x",
    "hf:owner/..",
    "hf:a/b/../../c/d",
    "hf:a/b/./c",
    "hf:a/b@../c",
  ];
  const hidden = ["/tree/main/..%2f..%2fc", "/tree/main/x/..%2fy", "/resolve/..%2fc/x"];
  for (const place of [...outside, ...hidden.map((path) => page + path)]) {
    assertThrows(() => hubPlace(place), InputError, `${place}: expected hf:owner/name`);
  }
});

Deno.test("a place on the Hub is at the commit that it says, with the files that it lists, or at its revision", async () => {
  const sha = "0123456789abcdef0123456789abcdef01234567";
  const of = (said: unknown, path = "unet") =>
    withEnvironment({ HF_ENDPOINT: "https://hub.example" }, async () => {
      const asked: string[] = [];
      const { url, list } = await filesOnHub(
        { repository: "o/n", path, revision: "refs/pr 1" },
        (url) => {
          asked.push(url.href);
          return Promise.resolve(said instanceof Uint8Array ? said : bytes(JSON.stringify(said)));
        },
      );
      assertEquals(asked, ["https://hub.example/api/models/o/n/revision/refs%2Fpr%201"]);
      return [url.href.replace("https://hub.example/o/n/resolve/", ""), list];
    });
  const files = (...names: unknown[]) => names.map((rfilename) => ({ rfilename }));
  const siblings = [null, ...files(7, "unet/a", "unetx/b", "unet/c/d", "e/unet/f", "unet")];
  assertEquals(await of({ sha, siblings }), [`${sha}/unet`, ["a", "c/d"]]);
  const all = ["unet/a", "unetx/b", "unet/c/d", "e/unet/f", "unet"];
  assertEquals(await of({ sha, siblings }, ""), [`${sha}/`, all]);
  assertEquals(await of({ sha }), [`${sha}/unet`, undefined]);
  assertEquals(await of({ sha, siblings: { a: 1 } }), [`${sha}/unet`, undefined]);
  const others: unknown[] = [{ siblings }, { sha: sha.slice(1), siblings }, { sha: `${sha}0` }];
  others.push(
    { sha: sha.toUpperCase() },
    { sha: "main", siblings },
    null,
    7,
    new Uint8Array(),
    bytes("<html>"),
  );
  for (const said of others) assertEquals(await of(said), ["refs%2Fpr%201/unet", undefined]);
});
