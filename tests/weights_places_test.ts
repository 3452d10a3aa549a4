/** Where weights are asked for: the Hub's revisions and tokens, what is kept, paths that look like addresses. */
import { assert, assertEquals, assertRejects, assertStringIncludes } from "@std/assert";
import { InputError } from "../src/errors.ts";
import { parseSafetensors, writeSafetensors } from "../src/files/safetensors.ts";
import { filesAt } from "../src/weights/files.ts";
import { download } from "../src/weights/find/download.ts";
import { locate } from "../src/weights/find/locate.ts";
import { readFolder } from "../src/weights/read/folder.ts";
import { tensorFormat } from "../src/weights/read/formats.ts";
import { temporaryFolder } from "./cli.ts";
import { hubFiles, serve, withEnvironment } from "./hub.ts";

const golden = new URL("./golden/class_conditional/", import.meta.url);
const contents = new Map<string, Uint8Array<ArrayBuffer>>();
for (const name of hubFiles) contents.set(name, await Deno.readFile(new URL(name, golden)));
const plain = await readFolder(await locate(golden));
const sha = (letter: string) => letter.repeat(40);
const missing = () => new Response("Entry not found", { status: 404 });

/** The golden folder at any of these commits, with the Hub's API. */
function standIn(
  commitOf: () => string,
  answers: (path: string, request: Request) => Response | undefined = () => undefined,
) {
  return serve((path, request) => {
    const own = answers(path, request);
    if (own) return own;
    if (path.startsWith("/api/models/owner/name/revision/")) {
      const siblings = hubFiles.map((rfilename) => ({ rfilename }));
      return Response.json({ sha: commitOf(), siblings });
    }
    const name = /^\/owner\/name\/resolve\/[0-9a-f]{40}\/(.*)$/.exec(path)?.[1];
    const bytes = contents.get(name ?? "");
    return bytes ? new Response(bytes) : missing();
  });
}

async function withHub<T>(
  origin: string,
  run: () => Promise<T>,
  more: Record<string, string> = {},
) {
  await using cache = await temporaryFolder();
  return await withEnvironment({ DENOISE_CACHE: cache.path, HF_ENDPOINT: origin, ...more }, run);
}

Deno.test("a revision is resolved to its commit once, and all files are that commit's", async () => {
  let commit = sha("a");
  await using server = standIn(() => commit);
  await withHub(server.origin, async () => {
    await readFolder(await locate("hf:owner/name"));
    const asked = server.requests.length;
    assertEquals(server.requests[0], "/api/models/owner/name/revision/main");
    assert(server.requests.slice(1).every((path) => path.includes(`/resolve/${sha("a")}/`)));
    // What is listed is asked for, and nothing else: one request for each file.
    assertEquals(asked, 1 + hubFiles.length);
    commit = sha("b");
    await readFolder(await locate("hf:owner/name"));
    assertEquals(server.requests.length, asked, "a second run needs no network");
    await readFolder(await locate("hf:owner/name", { refresh: true }));
    assert(server.requests.at(-1)!.includes(`/resolve/${sha("b")}/`));
    const after = server.requests.length;
    await readFolder(await locate("hf:owner/name"));
    assertEquals(server.requests.length, after, "what refresh found is kept");
  });
});

Deno.test("revisions with a slash are one part of the address", async () => {
  await using server = serve((path, request) => {
    const raw = new URL(request.url).pathname;
    const name = /^\/owner\/name\/resolve\/(?:refs%2Fpr%2F1|feature%2Fx)\/(.*)$/.exec(raw)?.[1];
    assertEquals(path, raw);
    return name && contents.has(name) ? new Response(contents.get(name)) : missing();
  });
  await withHub(server.origin, async () => {
    for (const revision of ["refs/pr/1", "feature/x"]) {
      const folder = await readFolder(await locate(`hf:owner/name@${revision}`));
      assertEquals(folder.hash, plain.hash);
    }
  });
});

Deno.test("a repository's page is the repository", async () => {
  await using server = standIn(() => sha("c"));
  await withHub(server.origin, async () => {
    for (
      const page of ["", "/", "/tree/main", "/tree/refs%2Fpr%2F1", "/resolve/main/?download=true"]
    ) {
      const folder = await readFolder(await locate(`${server.origin}/owner/name${page}`));
      assertEquals(folder.hash, plain.hash, page);
    }
    const weights = `/blob/main/${hubFiles[2]}`;
    const file = await readFolder(await locate(`${server.origin}/owner/name${weights}`));
    assertEquals(file.hash, plain.hash);
  });
});

Deno.test("HF_TOKEN goes to the Hub alone, not to where it redirects", async () => {
  const seen: (string | null)[] = [];
  await using other = serve((_, request) => {
    seen.push(request.headers.get("authorization"));
    return new Response(contents.get(hubFiles[2])!);
  });
  await using server = standIn(() => sha("d"), (path, request) => {
    if (request.headers.get("authorization") !== "Bearer hf_secret") {
      return new Response("Repository not found", { status: 401 });
    }
    return path.endsWith(".safetensors")
      ? new Response(null, { status: 302, headers: { location: `${other.origin}/blob` } })
      : undefined;
  });
  await withHub(server.origin, async () => {
    await assertRejects(() => locate("hf:owner/name"), InputError, "token in HF_TOKEN");
  }, { HF_TOKEN: "" });
  await withHub(server.origin, async () => {
    assertEquals((await readFolder(await locate("hf:owner/name"))).hash, plain.hash);
    await filesAt(new URL(other.origin)).read("x");
  }, { HF_TOKEN: "hf_secret" });
  assertEquals(seen, [null, null]);
});

Deno.test("an answer that does not parse, match or have its hash is not kept", async () => {
  const wrong = new Map<string, Uint8Array<ArrayBuffer>>();
  const page = new TextEncoder().encode("<html>log in</html>");
  await using server = serve((path) => {
    const bytes = wrong.get(path.slice(3)) ?? contents.get(path.slice(3));
    return path.startsWith("/w/") && bytes ? new Response(bytes) : missing();
  });
  const place = `${server.origin}/w/`;
  const tensors = parseSafetensors(contents.get(hubFiles[2])!).tensors;
  const other = writeSafetensors(new Map([...tensors].slice(1)));
  const cases: [string, Uint8Array<ArrayBuffer>, string][] = [
    [hubFiles[1], page, "expected JSON"],
    [hubFiles[2], page, "safetensors header"],
    [hubFiles[2], other, "are missing"],
  ];
  for (const [name, bytes, says] of cases) {
    await withHub(server.origin, async () => {
      wrong.set(name, bytes);
      await assertRejects(async () => readFolder(await locate(place)), InputError, says);
      wrong.clear();
      assertEquals((await readFolder(await locate(place))).hash, plain.hash);
    });
  }
  await withHub(server.origin, async () => {
    wrong.set(hubFiles[2], other);
    const hash = "#sha256=2f7bdc8f9d5a1c7d1f6e0c1d3f2b4a5968778695a4b3c2d1e0f1a2b3c4d5e6f7";
    await assertRejects(async () => readFolder(await locate(place + hash)), InputError, "SHA-256");
    wrong.clear();
    assertEquals((await readFolder(await locate(place))).hash, plain.hash);
  });
});

Deno.test("files of yesterday that do not fit those of today are asked for again", async () => {
  await using server = serve((path) => {
    const bytes = contents.get(path.slice(3));
    return path.startsWith("/w/") && bytes ? new Response(bytes) : missing();
  });
  const place = `${server.origin}/w/`;
  await withHub(server.origin, async () => {
    await readFolder(await locate(place));
    // The owner pushes a variant under a config that has one class more.
    const [, config, weights] = hubFiles;
    const before = new Map(contents);
    try {
      const json = JSON.parse(new TextDecoder().decode(contents.get(config)));
      json.num_class_embeds += 1;
      contents.set(config, new TextEncoder().encode(JSON.stringify(json)));
      const tensors = parseSafetensors(contents.get(weights)!).tensors;
      const rows = tensors.get("class_embedding.weight")!;
      const [count, width] = rows.shape;
      const more = new Float32Array((count + 1) * width);
      more.set(rows.data);
      tensors.set("class_embedding.weight", { shape: [count + 1, width], data: more });
      contents.set("unet/diffusion_pytorch_model.ema.safetensors", writeSafetensors(tensors));
      const found = await readFolder(await locate(place), { variant: "ema" });
      assertEquals(found.network.classes, json.num_class_embeds);
    } finally {
      contents.clear();
      for (const [name, bytes] of before) contents.set(name, bytes);
    }
  });
});

Deno.test("a server that answers 403 for what is not there has a folder without it", async () => {
  await using server = serve((path) => {
    const name = path.slice(3);
    return contents.has(name) && name !== "model_index.json"
      ? new Response(contents.get(name))
      : new Response("<Code>AccessDenied</Code>", { status: 403 });
  });
  await withHub(server.origin, async () => {
    const folder = await readFolder(await locate(`${server.origin}/w/`));
    assertEquals(folder.card.labels, undefined);
  });
});

Deno.test("a redirect that is no address, or leads to this machine, is refused", async () => {
  await using server = serve(() =>
    new Response(null, { status: 302, headers: { location: "http://[broken" } })
  );
  await assertRejects(
    () => download(new URL(server.origin)),
    InputError,
    'redirects to "http://[broken", which is no address',
  );
  const real = globalThis.fetch;
  try {
    for (
      const to of [
        "http://localhost:1/x",
        "http://127.0.0.1/",
        "https://127.1.2.3/",
        "https://[::1]/",
        "https://[::ffff:127.0.0.1]/",
        "https://0.0.0.0/",
        "https://a.localhost/",
        "https://169.254.169.254/latest",
      ]
    ) {
      const asked: string[] = [];
      globalThis.fetch = ((url: URL) => {
        asked.push(url.href);
        return Promise.resolve(new Response(null, { status: 302, headers: { location: to } }));
      }) as typeof fetch;
      const from = "https://weights.example.org/w.zip";
      await assertRejects(() => download(new URL(from)), InputError, "redirects to this machine");
      assertEquals(asked, [from]);
    }
  } finally {
    globalThis.fetch = real;
  }
});

Deno.test("a folder's address keeps what is behind it: choices and tokens", async () => {
  await using server = serve((path, request) => {
    if (new URL(request.url).search !== "?token=1") return new Response("no", { status: 401 });
    const bytes = contents.get(path.slice(3));
    return path.startsWith("/w/") && bytes ? new Response(bytes) : missing();
  });
  await withHub(server.origin, async () => {
    for (const place of ["w?token=1", "w/?token=1"]) {
      const folder = await readFolder(await locate(`${server.origin}/${place}`));
      assertEquals(folder.hash, plain.hash);
    }
  });
});

Deno.test("a path is a path, whatever its beginning looks like", async () => {
  await using folder = await temporaryFolder();
  const names = ["run:1", "C:", "a%20b", "a b#c?d", "hf", "w.zip", "w.safetensors"];
  const before = Deno.cwd();
  for (const name of names) {
    for (const [file, bytes] of contents) {
      const path = `${folder.path}/${name}/${file}`;
      await Deno.mkdir(path.slice(0, path.lastIndexOf("/")), { recursive: true });
      await Deno.writeFile(path, bytes);
    }
  }
  try {
    Deno.chdir(folder.path);
    for (const name of names.filter((name) => name !== "C:")) {
      assertEquals((await readFolder(await locate(name))).hash, plain.hash, name);
    }
  } finally {
    Deno.chdir(before);
  }
  // Where there is no such drive, the path is not found; it is not taken for an address.
  const error = await assertRejects(() => locate("C:\\weights\\faces"), InputError) as Error;
  assertStringIncludes(error.message, "there is no such folder or file");
});

Deno.test("a name like a repository's is asked after", async () => {
  await assertRejects(() => locate("me/pub"), InputError, "did you mean hf:me/pub?");
});

for (
  const address of ["https://huggingface.co/me/%zz", "https://example.org/%zz/", "file:///%zz"]
) {
  Deno.test(`what is not percent-encoded rightly is refused: ${address}`, async () => {
    const says = `${address}: expected an address like https://example.org/weights/`;
    await assertRejects(() => locate(address), InputError, says);
  });
}

Deno.test("a folder on disc lists its files and those of the parts that weights have, by name", async () => {
  await using folder = await temporaryFolder();
  const parts = ["", "unet/", "unet_ema/", "scheduler/", "other/", "unet/deeper/"];
  for (const part of parts) {
    await Deno.mkdir(`${folder.path}/${part}`, { recursive: true });
    for (const name of ["b", "a"]) {
      await Deno.writeFile(`${folder.path}/${part}${name}`, new Uint8Array());
    }
  }
  for (const place of [folder.path, `${folder.path}/`]) {
    const files = await locate(place);
    const listed = ["", "scheduler/", "unet/", "unet_ema/"].flatMap((
      part,
    ) => [`${part}a`, `${part}b`]);
    assertEquals(await files.list!(), listed);
    assertEquals(files.where, `${folder.path}/`);
    await assertRejects(
      () => files.read("unet"),
      InputError,
      `${folder.path}/unet: cannot be read (`,
    );
  }
  await Deno.remove(`${folder.path}/scheduler`, { recursive: true });
  assertEquals((await (await locate(folder.path)).list!())!.length, 6);
});

Deno.test({
  name: "where this process may not look, a place is taken for a folder",
  permissions: { env: true, read: false },
  async fn() {
    const places: [string, string][] = [
      ["/none/w", "/none/w/"],
      ["/none/w:1/a b#c?d%20/", "/none/w:1/a b#c?d%20/"],
      ["C:\\none\\a b", "/C:/none/a b/"],
      ["c:/none", "/c:/none/"],
      ["\\none\\w", "/none/w/"],
    ];
    for (const [place, where] of places) {
      const files = await locate(place);
      assertEquals([files.where, await files.list!()], [where, undefined]);
      await assertRejects(() => files.read("a"), InputError, `${where}a: cannot be read (`);
    }
  },
});

Deno.test("a place that is not there is told with what is built in, and what is meant on the Hub", async () => {
  const said = async (place: string) =>
    (await assertRejects(() => locate(place), InputError) as Error).message;
  const builtIn = "(heroes, heroes-4, heroes-1, digits, digits-4, digits-1)";
  const start = "there is no such folder or file, and no built-in weights of that name";
  assertEquals(await said("me/pub"), `me/pub: ${start} ${builtIn}; did you mean hf:me/pub?`);
  for (const place of ["pub", "./me/pub", "me/pub/x", "me pub/x", "/me/pub"]) {
    assertEquals(await said(place), `${place}: ${start} ${builtIn}`);
  }
});

Deno.test("where the reader of a format was left out, the format is named, and one that is always there", async () => {
  await using folder = await temporaryFolder();
  // As in a bundle: what it imports computed is not beside it.
  const source = new URL("../src/weights/read/formats.ts", import.meta.url);
  const text = (await Deno.readTextFile(source)).replace(
    /from "(\.[^"]+)"/g,
    (_, path) => `from "${new URL(path, source)}"`,
  );
  const alone = `${folder.path}/formats.ts`;
  await Deno.writeTextFile(alone, text);
  const bundled: typeof import("../src/weights/read/formats.ts") = await import(`file://${alone}`);
  await Deno.mkdir(`${folder.path}/formats`);
  await Deno.writeTextFile(`${folder.path}/formats/npz.ts`, 'throw new Error("one\\n  two");');
  for (const [ending, reason] of [["npz", "one two"], ["pt", "Module not found"]]) {
    const { message } = await assertRejects(
      () => bundled.tensorFormat(ending, `w.${ending}`),
      InputError,
    ) as Error;
    const says = `w.${ending}: what reads .${ending} files cannot be loaded here (${reason}`;
    assert(message.startsWith(says), message);
    assert(message.endsWith("); give .safetensors"), message);
  }
  const safetensors = await bundled.tensorFormat("safetensors", "w");
  assertEquals(safetensors, await tensorFormat("safetensors", "w"));
  const known = "w: expected a file of tensors (.safetensors, .npz, .bin, .pt, .pth, .ckpt)";
  for (const ending of ["onnx", "zip", undefined]) {
    await assertRejects(() => tensorFormat(ending, "w"), InputError, known);
  }
});
