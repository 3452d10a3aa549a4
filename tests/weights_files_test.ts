/** Files of weights wherever they lie: in memory, on disc, behind an address, in an archive, on the Hub. */
import { assert, assertEquals, assertRejects, assertThrows } from "@std/assert";
import { InputError } from "../src/errors.ts";
import { sha256Hex } from "../src/files/hash.ts";
import {
  fetchStream,
  type Files,
  filesAt,
  filesOf,
  isAbsent,
  parseJson,
  readJson,
  readText,
  settled,
} from "../src/weights/files.ts";
import { archiveFiles } from "../src/weights/find/archive.ts";
import { cacheFolder, environment } from "../src/weights/find/cache.ts";
import { checkAddress, download } from "../src/weights/find/download.ts";
import { hubPlace, hubToken, isCommit } from "../src/weights/find/hub.ts";
import { locate } from "../src/weights/find/locate.ts";
import { weightEnding, weightEndings, writtenEndings } from "../src/weights/read/formats.ts";
import { temporaryFolder } from "./cli.ts";
import { serve, withEnvironment } from "./hub.ts";

const bytes = (text: string) => new TextEncoder().encode(text);
const nothing = new Uint8Array();

Deno.test("a status says that there is no such file, some only of files that weights do without", () => {
  const absent = (optional?: boolean) =>
    [200, 304, 400, 401, 403, 404, 410, 500].filter((status) => isAbsent(status, optional));
  assertEquals(absent(), [404]);
  assertEquals(absent(false), [404]);
  assertEquals(absent(true), [403, 404, 410]);
});

Deno.test("names are names: signs that mean something in an address are asked for as they are", async () => {
  await using server = serve((_, request) => {
    const { pathname, search } = new URL(request.url);
    return new Response(`${pathname}${search}`);
  });
  for (const base of ["w", "w/"]) {
    const files = filesAt(new URL(`${server.origin}/${base}?token=1`));
    assertEquals(files.where, `${server.origin}/w/`);
    const asked = async (name: string) => await readText(files, name);
    assertEquals(await asked("unet/config.json"), "/w/unet/config.json?token=1");
    assertEquals(await asked("a#b?c%d e.json"), "/w/a%23b%3Fc%25d%20e.json?token=1");
  }
  const disc = filesAt(new URL("file:///some%20where/w"));
  assertEquals(disc.where, "/some where/w/");
});

Deno.test("answers that are not read are let go", async () => {
  const real = globalThis.fetch;
  const letGo = async (status: number, headers: HeadersInit, ask: () => Promise<unknown>) => {
    let cancelled = 0;
    globalThis.fetch = () => {
      let left = 1000;
      const body = new ReadableStream<Uint8Array<ArrayBuffer>>({
        pull: (controller) =>
          left-- > 0 ? controller.enqueue(new Uint8Array(64)) : controller.close(),
        cancel: () => void cancelled++,
      }, { highWaterMark: 0 });
      return Promise.resolve(new Response(body, { status, headers }));
    };
    try {
      await ask().catch((error) => assert(error instanceof InputError, `${error}`));
    } finally {
      globalThis.fetch = real;
    }
    return cancelled;
  };
  const url = new URL("https://example.org/w");
  const files = filesAt(url);
  for (const status of [404, 401, 500]) {
    assertEquals(await letGo(status, {}, () => files.read("a")), 1, `${status}`);
    assertEquals(await letGo(status, {}, () => download(url)), 1, `${status}`);
  }
  assertEquals(await letGo(403, {}, () => files.read("a", true)), 1);
  assertEquals(await letGo(302, { location: "ftp://example.org/" }, () => download(url)), 1);
  assertEquals(
    await letGo(200, { "content-length": "9000" }, () => download(url, { maxBytes: 99 })),
    1,
  );
  assertEquals(await letGo(200, {}, () => download(url, { maxBytes: 99 })), 1);
});

Deno.test("no way to a server is told apart from a server without the file", async () => {
  const real = globalThis.fetch;
  const asked = async (answer: () => Promise<Response>, base = "https://example.org/w/") => {
    globalThis.fetch = answer;
    const told = ({ message }: Error) => message;
    try {
      const file = await filesAt(new URL(base)).read("a").catch(told);
      const stream = await fetchStream(new URL("a", base)).catch(told);
      const streamed = stream instanceof ReadableStream
        ? await new Response(stream).bytes()
        : stream;
      assertEquals(streamed, file);
      return file;
    } finally {
      globalThis.fetch = real;
    }
  };
  const status = (status: number) => () => Promise.resolve(new Response(null, { status }));
  const cut = () => Promise.reject(new Error("no route"));
  const place = "https://example.org/w/a";
  assertEquals(await asked(cut), `${place}: could not be fetched (no route)`);
  assertEquals(await asked(cut, "file:///w/"), undefined);
  assertEquals(await asked(status(500)), `${place}: the server answered 500`);
  assertEquals(await asked(status(404)), undefined);
  assertEquals(await asked(status(200)), nothing);
  assertEquals(await asked(() => Promise.resolve(new Response("x"))), bytes("x"));
});

Deno.test("files in memory are those that are given, whatever else objects have", async () => {
  const files = filesOf({ a: bytes("1") });
  assertEquals([files.where, await files.list!()], ["memory/", ["a"]]);
  assertEquals(await files.read("a"), bytes("1"));
  for (const name of ["b", "constructor", "__proto__", "toString"]) {
    assertEquals(await files.read(name), undefined, name);
  }
});

Deno.test("JSON is read as text or bytes, with a mark in front or without", async () => {
  for (const text of ['{"a":"é"}', '\uFEFF{"a":"é"}']) {
    assertEquals(parseJson(text, "x"), { a: "é" });
    assertEquals(parseJson(bytes(text), "x"), { a: "é" });
  }
  const files = filesOf({ "a.json": bytes("{"), "b.json": Uint8Array.of(0x22, 0xff, 0x22) }, "w/");
  assertEquals(await readJson(files, "c.json"), undefined);
  const noJson = "w/a.json: expected JSON, found something else";
  await assertRejects(() => readJson(files, "a.json"), InputError, noJson);
  for (const read of [readJson, readText]) {
    await assertRejects(
      () => read(files, "b.json"),
      InputError,
      "w/b.json: expected text, found other bytes",
    );
  }
});

Deno.test("reading is tried once more where what failed had been kept, and only then", async () => {
  /** How often it was read, and what the store was told. */
  const tried = async (stale: readonly boolean[], error: Error) => {
    const told: boolean[] = [];
    let reads = 0;
    const files: Files = {
      where: "",
      read: () => Promise.resolve(undefined),
      settle: (whole) => (told.push(whole), Promise.resolve(!whole && stale[told.length - 1])),
    };
    const read = () => {
      if (++reads <= stale.length) return Promise.reject(error);
      return Promise.resolve("read");
    };
    const found = await settled(files, read).catch((error) => error);
    return [found, reads, told];
  };
  const wrong = new InputError("wrong"), other = new Error("other");
  assertEquals(await tried([], wrong), ["read", 1, [true]]);
  assertEquals(await tried([true], wrong), ["read", 2, [false, true]]);
  assertEquals(await tried([false], wrong), [wrong, 1, [false]]);
  assertEquals(await tried([true, true], wrong), [wrong, 2, [false, false]]);
  assertEquals(await tried([true], other), [other, 1, [false]]);
  // What was read and cannot be kept is no success.
  const full = new InputError("the disc is full");
  const told: boolean[] = [];
  const files: Files = {
    where: "",
    read: () => Promise.resolve(undefined),
    settle: (whole) => {
      told.push(whole);
      return whole ? Promise.reject(full) : Promise.resolve(false);
    },
  };
  const found = await settled(files, () => Promise.resolve("read")).catch((error) => error);
  assertEquals([found, told], [full, [true, false]]);
});

Deno.test("an archive is the highest folder of weights in it, or its only file of weights", async () => {
  /** Where the archive's weights are, which file is meant, and what is in it. */
  const found = async (...names: string[]) => {
    const files = archiveFiles(new Map(names.map((name) => [name, nothing])), "w.zip");
    return [files.where, files.file, ...await files.list!() ?? []];
  };
  assertEquals(await found("a.safetensors"), ["w.zip/", "a.safetensors", "a.safetensors"]);
  assertEquals(await found("x/a.pt", "README.md"), ["w.zip/", "x/a.pt", "x/a.pt", "README.md"]);
  assertEquals(await found("x\\a.pt"), ["w.zip/", "x/a.pt", "x/a.pt"]);
  const two = ["a.pt", "b.pt"];
  assertEquals(await found(...two), ["w.zip/", undefined, ...two]);
  assertEquals(await found("a.txt"), ["w.zip/", undefined, "a.txt"]);
  const folder = ["config.json", "a.safetensors"];
  assertEquals(await found(...folder), ["w.zip/", undefined, ...folder]);
  assertEquals(
    await found("x/unet/config.json", "x/unet/a.bin", "b.bin"),
    ["w.zip/x/", undefined, "unet/config.json", "unet/a.bin"],
  );
  assertEquals(
    await found("x/unet_ema/config.json", "x/unet_ema/a.bin", "x/b.txt"),
    ["w.zip/x/", undefined, "unet_ema/config.json", "unet_ema/a.bin", "b.txt"],
  );
  assertEquals(
    await found("x/y/config.json", "x/b.bin"),
    ["w.zip/x/y/", undefined, "config.json"],
  );
  assertEquals(
    await found("x/model_index.json", "x/a.pt", "b.pt"),
    ["w.zip/x/", "a.pt", "model_index.json", "a.pt"],
  );
  // Of two at the same depth the first by name; a higher one before both.
  const side = (...roots: string[]) => found(...roots.map((root) => `${root}model_index.json`));
  assertEquals((await side("b/", "a/", "c/"))[0], "w.zip/a/");
  assertEquals((await side("a/x/", "b/"))[0], "w.zip/b/");
  assertEquals((await side("a/", ""))[0], "w.zip/");
  const litter = ["__MACOSX/w/config.json", "w/._a.pt", ".DS_Store", "w/Thumbs.db", "desktop.ini"];
  assertEquals(await found("w/a.pt", ...litter), ["w.zip/", "w/a.pt", "w/a.pt"]);
});

Deno.test("the Hub may be elsewhere, and not every page of it is a repository's", async () => {
  const origin = "https://hub.example/sub";
  const of = (place: string, HF_ENDPOINT = origin) =>
    withEnvironment({ HF_ENDPOINT }, () => Promise.resolve().then(() => hubPlace(place)));
  const found = { repository: "o/n", path: "unet/a b.bin", revision: "refs/pr/1" };
  for (const at of [origin, `${origin}/`, `${origin}//`]) {
    assertEquals(await of(`${origin}/o/n/blob/refs%2Fpr%2F1/unet/a%20b.bin`, at), found, at);
  }
  const others = [
    "datasets/o",
    "spaces/o",
    "api/models",
    "datasets/o/n",
    "o",
    "",
    "o/n/discussions/1",
  ];
  for (const path of others) assertEquals(await of(`${origin}/${path}`), undefined, path);
  for (const place of ["https://huggingface.co/o/n", "digits", "./hf", "faces=hf:o/n"]) {
    assertEquals(await of(place), undefined, place);
  }
  for (
    const place of ["hf:", "hf:o", "hf:o/", "hf:/n", "hf:o/.", "hf:./n", "hf:o/n@a b", "hf:o n/m"]
  ) {
    const says =
      `${place}: expected hf:owner/name, a path in it behind that, and @revision if it is not main`;
    await assertRejects(() => of(place), InputError, says);
  }
  for (const place of ["hf:o/.n", "hf:o/n..", "hf:o/a..b"]) assert(await of(place), place);
});

Deno.test("what lies under a commit never changes; the token is for the Hub's own addresses", async () => {
  const sha = "0123456789abcdef0123456789abcdef01234567";
  const commit = (path: string) => isCommit(new URL(`https://hub.example/o/n/resolve/${path}`));
  assert(commit(`${sha}/a.bin`));
  for (const path of ["main/a.bin", `${sha.slice(1)}/a.bin`, `${sha}0/a.bin`, sha.toUpperCase()]) {
    assert(!commit(path), path);
  }
  const token = (url: string, HF_TOKEN = "hf_x") =>
    withEnvironment(
      { HF_ENDPOINT: "https://hub.example", HF_TOKEN },
      () => Promise.resolve(hubToken(new URL(url))),
    );
  assertEquals(await token("https://hub.example/o/n"), "hf_x");
  assertEquals(await token("https://hub.example/o/n", ""), undefined);
  for (
    const other of ["http://hub.example/", "https://hub.example:8443/", "https://a.hub.example/"]
  ) {
    assertEquals(await token(other), undefined, other);
  }
});

Deno.test("downloads are kept where the environment says, the nearest word first", async () => {
  const none = { DENOISE_CACHE: "", XDG_CACHE_HOME: "", LOCALAPPDATA: "", HOME: "" };
  const folder = (of: Record<string, string>) =>
    withEnvironment({ ...none, ...of }, () => Promise.resolve(cacheFolder()));
  assertEquals(await folder({}), undefined);
  const all = { DENOISE_CACHE: "/d", XDG_CACHE_HOME: "/x", LOCALAPPDATA: "/l", HOME: "/h" };
  assertEquals(await folder(all), "/d");
  assertEquals(await folder({ ...all, DENOISE_CACHE: "" }), "/x/denoise");
  assertEquals(await folder({ LOCALAPPDATA: "/l", HOME: "/h" }), "/l/denoise");
  assertEquals(await folder({ HOME: "/h" }), "/h/.cache/denoise");
  await withEnvironment({ DENOISE_TEST: "1" }, async () => {
    await Promise.resolve(assertEquals(environment("DENOISE_TEST"), "1"));
  });
});

for (const name of ["read", "write"] as const) {
  Deno.test({
    name: `nothing is kept where this process may not ${name}`,
    permissions: {
      env: true,
      read: name !== "read",
      write: name !== "write",
    },
    fn: () =>
      withEnvironment({ DENOISE_CACHE: "/d" }, async () => {
        await Promise.resolve(assertEquals(cacheFolder(), undefined));
      }),
  });
}

Deno.test("weights are fetched over https, over http from this machine alone", () => {
  const taken = ["https://example.org/w", "https://127.0.0.1/w", "http://localhost:8000/w"];
  taken.push("http://127.0.0.1/w", "http://127.1.2.3:80/w", "http://[::1]:9/w");
  for (const address of taken) checkAddress(new URL(address));
  const refused = [
    "http://127.0.0.1.evil.org/",
    "http://example.org/w",
    "http://localhost.example.org/",
    "http://10.0.0.1/",
  ];
  refused.push("ftp://example.org/w", "data:,w", "http://128.0.0.1/", "http://[::2]/");
  for (const address of refused) {
    const says = "weights are fetched over https only (http from this machine alone)";
    assertThrows(() => checkAddress(new URL(address)), InputError, `${new URL(address)}: ${says}`);
  }
});

Deno.test("a hash behind a place is compared, in capitals or not, and must be one", async () => {
  await using folder = await temporaryFolder();
  const path = `${folder.path}/w.safetensors`;
  await Deno.writeFile(path, bytes("weights"));
  const hash = await sha256Hex(bytes("weights"));
  for (const written of [hash, hash.toUpperCase()]) {
    assertEquals((await locate(`${path}#sha256=${written}`)).file, "w.safetensors");
  }
  const none = "0".repeat(64);
  const { message } = await assertRejects(
    () => locate(`${path}#sha256=${none}`),
    InputError,
  ) as Error;
  assertEquals(message, `file://${path}: expected SHA-256 ${none}, found ${hash}`);
  const odd = `${folder.path}/a b%20c?d.safetensors`;
  await Deno.writeFile(odd, bytes("odd"));
  const files = await locate(odd);
  assertEquals([files.where, files.file], [`${folder.path}/`, "a b%20c?d.safetensors"]);
  assertEquals(await files.read(files.file!), bytes("odd"));
  for (const short of ["", "abc", hash.slice(1), `${hash}0`, "g".repeat(64)]) {
    const place = `${path}#sha256=${short}`;
    const says = `${place}: expected 64 hexadecimal digits after #sha256=`;
    await assertRejects(() => locate(place), InputError, says);
  }
});

Deno.test("a path that leads through a file, or to one that is no weights, is refused", async () => {
  await using folder = await temporaryFolder();
  await Deno.writeFile(`${folder.path}/a.txt`, bytes("x"));
  const path = `${folder.path}/a.txt`;
  await assertRejects(
    () => locate(path),
    InputError,
    `${path}: expected weights, found a file of another kind; read are a diffusers folder, .zip, .safetensors, .npz, .bin, .pt, .pth, .ckpt, .onnx`,
  );
  for (const place of [`${path}/w`, `${path}/w.safetensors`, `${folder.path}/none`]) {
    await assertRejects(() => locate(place), InputError, "there is no such folder or file");
  }
  const nowhere = "weights: expected a name, a folder or an address";
  await assertRejects(() => locate(""), InputError, nowhere);
  // What lies beside weights may be no folder, where a folder is looked for.
  await Deno.writeFile(`${folder.path}/scheduler`, bytes("x"));
  const files = await locate(folder.path);
  assertEquals(await files.read("scheduler/scheduler_config.json"), undefined);
  assertEquals(await files.list!(), undefined);
});

Deno.test("the ending of a name says what it is, in capitals or not", () => {
  const endings: [string, string | undefined][] = [
    ["w.safetensors", "safetensors"],
    ["W.SafeTensors", "safetensors"],
    ["a/b.c/w.PT", "pt"],
    ["w.zip", "zip"],
    ["w.onnx", "onnx"],
    ["w", undefined],
    ["zip", undefined],
    ["w.zip/", undefined],
    ["w.txt", undefined],
    ["w.", undefined],
  ];
  for (const [name, ending] of endings) assertEquals(weightEnding(name), ending, name);
});

Deno.test("what is read is written too, but for what PyTorch writes", () => {
  assertEquals(weightEndings, ["zip", "safetensors", "npz", "bin", "pt", "pth", "ckpt", "onnx"]);
  assertEquals(writtenEndings, ["zip", "safetensors", "npz", "onnx"]);
});
