/** The forms in which diffusers and its users leave weights; each reads as the plain folder does. */
import { assert, assertEquals, assertRejects, assertStringIncludes } from "@std/assert";
import { InputError } from "../src/errors.ts";
import { parseSafetensors, type SafeTensor, writeSafetensors } from "../src/files/safetensors.ts";
import { writeZip } from "../src/files/zip.ts";
import { decodePng } from "../src/image/png.ts";
import { filesOf } from "../src/weights/files.ts";
import { archiveFiles } from "../src/weights/find/archive.ts";
import { locate } from "../src/weights/find/locate.ts";
import { readFolder, type ReadOptions } from "../src/weights/read/folder.ts";
import { cli, temporaryFolder } from "./cli.ts";
import { writeTorch } from "./torch_fixtures.ts";

const golden = new URL("./golden/class_conditional/", import.meta.url);
const plain = await readFolder(await locate(golden));
const file = (name: string) => Deno.readFileSync(new URL(name, golden));
const config = file("unet/config.json");
const scheduler = file("scheduler/scheduler_config.json");
const index = file("model_index.json");
const weights = file("unet/diffusion_pytorch_model.safetensors");
const { tensors } = parseSafetensors(weights);
const configs = {
  "unet/config.json": config,
  "scheduler/scheduler_config.json": scheduler,
  "model_index.json": index,
};
const encode = (value: unknown) => new TextEncoder().encode(JSON.stringify(value));
type Entries = Record<string, Uint8Array>;

async function readsTheSame(entries: Entries, options?: ReadOptions, scale = 1) {
  const folder = await readFolder(filesOf(entries, "memory/"), options);
  assertEquals(folder.network.json(), plain.network.json());
  assertEquals([...folder.tensors.keys()].sort(), [...plain.tensors.keys()].sort());
  for (const [name, { shape, data }] of plain.tensors) {
    const found = folder.tensors.get(name)!;
    assertEquals(found.shape, shape);
    assertEquals(found.data, data.map((x) => x * scale), name);
  }
  return folder;
}

const named = (map: ReadonlyMap<string, SafeTensor>, rename: (name: string) => string) =>
  new Map([...map].map(([name, tensor]) => [rename(name), tensor]));
const doubled = new Map(
  [...tensors].map(([name, { shape, data }]) => [name, { shape, data: data.map((x) => 2 * x) }]),
);

for (const name of ["diffusion_pytorch_model.bin", "pytorch_model.bin", "diffusion_model.pt"]) {
  Deno.test(`a folder's weights in PyTorch's file: ${name}`, async () => {
    await readsTheSame({ ...configs, [`unet/${name}`]: await writeTorch(tensors) });
  });
}

Deno.test("safetensors go before a pickle, the plain name before a variant", async () => {
  await readsTheSame({
    ...configs,
    "unet/diffusion_pytorch_model.bin": await writeTorch(doubled),
    "unet/diffusion_pytorch_model.ema.safetensors": writeSafetensors(doubled),
    "unet/diffusion_pytorch_model.safetensors": weights,
  });
});

for (const variant of ["fp16", "bf16", "ema", "my-own_2"]) {
  Deno.test(`a variant is taken where there is no other, and where it is asked for: ${variant}`, async () => {
    const name = `unet/diffusion_pytorch_model.${variant}.safetensors`;
    await readsTheSame({ ...configs, [name]: weights });
    const both = {
      [name]: writeSafetensors(doubled),
      "unet/diffusion_pytorch_model.safetensors": weights,
    };
    await readsTheSame({ ...configs, ...both }, { variant }, 2);
    await assertRejects(
      () => readFolder(filesOf({ ...configs, ...both }), { variant: "other" }),
      InputError,
      `expected unet/diffusion_pytorch_model.other.safetensors (or .bin), found unet/config.json, ${name}`,
    );
  });
}

Deno.test("where a folder cannot be listed, each name that weights may have is asked for in its order", async () => {
  const asked: string[] = [];
  const { list: _, ...files } = filesOf(configs);
  const read = (path: string) => {
    if (/^unet\/.*model/.test(path)) asked.push(path);
    return files.read(path);
  };
  const missing = "expected unet/diffusion_pytorch_model.safetensors (or .bin), found none";
  await assertRejects(() => readFolder({ ...files, read }), InputError, missing);
  const name = "unet/diffusion_pytorch_model";
  const variants = ["fp16", "bf16", "ema", "non_ema", "fp32"].flatMap((variant) => [
    `${name}.${variant}.safetensors`,
    `${name}.safetensors.index.${variant}.json`,
    `${name}.${variant}.bin`,
    `${name}.bin.index.${variant}.json`,
  ]);
  assertEquals(asked, [
    `${name}.safetensors`,
    `${name}.safetensors.index.json`,
    `${name}.bin`,
    `${name}.bin.index.json`,
    "unet/model.safetensors",
    "unet/diffusion_model.pt",
    "unet/pytorch_model.bin",
    ...variants,
  ]);
});

/** Two files and an index of them. */
function shards(ending: string, variant: string, files: readonly Uint8Array[]): Entries {
  const infix = variant === "" ? "" : `.${variant}`;
  const names = files.map((_, i) =>
    `diffusion_pytorch_model${infix}-0000${i + 1}-of-00002.${ending}`
  );
  const keys = [...tensors.keys()];
  const map = Object.fromEntries(keys.map((key, i) => [key, names[i < keys.length / 2 ? 0 : 1]]));
  const indexName = `diffusion_pytorch_model.${ending}.index${infix}.json`;
  return {
    ...configs,
    [`unet/${indexName}`]: encode({ metadata: {}, weight_map: map }),
    ...Object.fromEntries(names.map((name, i) => [`unet/${name}`, files[i]])),
  };
}
const halves = [
  new Map([...tensors].slice(0, Math.ceil(tensors.size / 2))),
  new Map([...tensors].slice(Math.ceil(tensors.size / 2))),
];

Deno.test("weights in shards, as safetensors and pickles, plain and of a variant", async () => {
  const stored = halves.map((half) => writeSafetensors(half));
  const plainHash = (await readsTheSame(shards("safetensors", "", stored))).hash;
  await readsTheSame(shards("safetensors", "fp16", stored), { variant: "fp16" });
  await readsTheSame(shards("bin", "", await Promise.all(halves.map(writeTorch))));
  const other = [writeSafetensors(named(halves[0], (name) => name)), stored[1].slice()];
  other[0][other[0].length - 1] ^= 1;
  const changed = await readFolder(filesOf(shards("safetensors", "", other)));
  assert(changed.hash !== plainHash, "a changed shard is other weights");
});

Deno.test("a shard that is missing, twice, or named elsewhere is refused", async () => {
  const stored = halves.map((half) => writeSafetensors(half));
  const entries = shards("safetensors", "", stored);
  const refuses = (change: Entries, says: string, without = "") =>
    assertRejects(
      () =>
        readFolder(
          filesOf(Object.fromEntries(
            Object.entries({ ...entries, ...change }).filter(([name]) => name !== without),
          )),
        ),
      InputError,
      says,
    );
  const second = "unet/diffusion_pytorch_model-00002-of-00002.safetensors";
  await refuses({}, `index.json: names the file ${second.slice(5)}, which is not there`, second);
  const [key] = halves[0].keys();
  await refuses({ [second]: stored[0] }, `index.json: "${key}" is in two of its files`);
  const indexName = "unet/diffusion_pytorch_model.safetensors.index.json";
  await refuses(
    { [indexName]: encode({ weight_map: { a: "../../etc/x.safetensors" } }) },
    "files beside it",
  );
  await refuses({ [indexName]: encode({}) }, "expected a weight_map");
  await refuses(
    { [indexName]: encode({ weight_map: { a: "part.foo" } }), "unet/part.foo": stored[0] },
    "unet/part.foo: expected a file of tensors (.safetensors, .npz, ",
  );
});

for (const prefix of ["_orig_mod.", "module.", "unet.", "module._orig_mod.", "model."]) {
  Deno.test(`names that begin with ${prefix} lose it`, async () => {
    const bytes = writeSafetensors(named(tensors, (name) => prefix + name));
    await readsTheSame({ ...configs, "unet/diffusion_pytorch_model.safetensors": bytes });
  });
}

/** A safetensors file of one type with a tensor of whole numbers at its end. */
function stored(dtype: string, bytesOf: (data: Float32Array) => Uint8Array): Uint8Array {
  const header: Record<string, unknown> = {};
  const parts: Uint8Array[] = [];
  let at = 0;
  const add = (name: string, type: string, shape: readonly number[], bytes: Uint8Array) => {
    header[name] = { dtype: type, shape, data_offsets: [at, at += bytes.length] };
    parts.push(bytes);
  };
  for (const [name, { shape, data }] of tensors) add(name, dtype, shape, bytesOf(data));
  add("num_batches", "I64", [1], new Uint8Array(8));
  const json = encode(header);
  const bytes = new Uint8Array(8 + json.length + at);
  new DataView(bytes.buffer).setBigUint64(0, BigInt(json.length), true);
  bytes.set(json, 8);
  let to = 8 + json.length;
  for (const part of parts) {
    bytes.set(part, to);
    to += part.length;
  }
  return bytes;
}

Deno.test("doubles are read as float32, and tensors of whole numbers are passed over", async () => {
  const bytes = stored("F64", (data) => new Uint8Array(Float64Array.from(data).buffer));
  await readsTheSame({ ...configs, "unet/diffusion_pytorch_model.safetensors": bytes });
});

Deno.test("unet/ alone: diffusers' defaults for the schedule, and a sentence that says so", async () => {
  const folder = await readsTheSame({
    "config.json": config,
    "diffusion_pytorch_model.safetensors": weights,
  });
  assertEquals(folder.scheduler.num_train_timesteps, 1000);
  assertStringIncludes(folder.notices.join("\n"), "no scheduler_config.json");
  const given = await readFolder(
    filesOf({ "config.json": config, "diffusion_pytorch_model.safetensors": weights }),
    { configs: filesOf({ "scheduler_config.json": encode({ num_train_timesteps: 77 }) }) },
  );
  assertEquals([given.scheduler.num_train_timesteps, given.notices.length], [77, 0]);
});

Deno.test("finite numbers that halves cannot hold are read, with a sentence that names their tensors", async () => {
  const first = [...tensors.keys()][0];
  const place = "memory/unet/diffusion_pytorch_model.safetensors";
  const scaled = (name: string, factor: number) =>
    filesOf({
      ...configs,
      "unet/diffusion_pytorch_model.safetensors": writeSafetensors(
        new Map([...tensors].map(([key, { shape, data }]) => [
          key,
          { shape, data: key === name ? data.map(() => factor) : data },
        ])),
      ),
    });
  const { notices } = await readFolder(scaled(first, -65520));
  assertEquals(notices, [
    `${place}: numbers of 1 tensors are beyond ±65504, the largest half: "${first}"; training rarely makes such, and 16 bits cannot hold them`,
  ]);
  assertEquals((await readFolder(scaled(first, -65504))).notices, []);
});

Deno.test("a pipeline's unet/, and the file in it, have the pipeline's scheduler and classes", async () => {
  for (const place of ["unet/", "unet/diffusion_pytorch_model.safetensors"]) {
    const folder = await readFolder(await locate(new URL(place, golden)));
    assertEquals(folder.scheduler, plain.scheduler);
    assertEquals(folder.card, plain.card);
    assertEquals(folder.hash, plain.hash);
  }
});

Deno.test("of a training run's checkpoint the running mean is taken, the schedule from above it", async () => {
  await using folder = await temporaryFolder();
  const write = async (name: string, bytes: Uint8Array) => {
    const path = `${folder.path}/run/${name}`;
    await Deno.mkdir(path.slice(0, path.lastIndexOf("/")), { recursive: true });
    await Deno.writeFile(path, bytes);
  };
  await write("checkpoint-500/unet/config.json", config);
  await write("checkpoint-500/unet/diffusion_pytorch_model.safetensors", weights);
  await write("checkpoint-500/unet_ema/config.json", config);
  await write(
    "checkpoint-500/unet_ema/diffusion_pytorch_model.safetensors",
    writeSafetensors(doubled),
  );
  await write("scheduler/scheduler_config.json", encode({ num_train_timesteps: 77 }));
  const found = await readFolder(await locate(`${folder.path}/run/checkpoint-500`));
  const [name, { data }] = [...doubled][0];
  assertEquals(found.tensors.get(name)!.data, data);
  assertEquals(found.scheduler.num_train_timesteps, 77);
});

Deno.test("a state dict alone needs --configs, and says what it has", async () => {
  await using folder = await temporaryFolder();
  const path = `${folder.path}/state.pt`;
  await Deno.writeFile(path, await writeTorch(tensors));
  const bare = await cli(["inspect", path]);
  assertEquals(bare.code, 2);
  assertStringIncludes(bare.err, `found ${tensors.size} tensors (class_embedding.weight, `);
  assertStringIncludes(bare.err, "--configs");
  assertEquals((await cli(["inspect", path, "--configs", golden.href])).code, 0);
});

Deno.test("a refusal names what was found", async () => {
  const files = filesOf({ "notes.txt": new Uint8Array(), "a/b.bin": new Uint8Array() });
  const none = "memory/: expected a diffusers folder (unet/config.json or config.json), found ";
  await assertRejects(() => readFolder(files), InputError, `${none}notes.txt, a/b.bin`);
  const others = new Map([...tensors].map(([name, tensor]) => [`other.${name}`, tensor]));
  const foreign = filesOf({
    ...configs,
    "unet/diffusion_pytorch_model.safetensors": writeSafetensors(others),
  });
  const says =
    `memory/unet/diffusion_pytorch_model.safetensors: ${tensors.size} of ${tensors.size}`;
  const { message } = await assertRejects(() => readFolder(foreign), InputError, says) as Error;
  assertStringIncludes(message, 'the file has others: "other.');
});

Deno.test("the scheduler that a folder was saved with is its default sampler", async () => {
  const withClass = async (_class_name: string, rest = {}) => {
    const scheduler = encode({ _class_name, ...rest });
    const folder = await readFolder(filesOf({
      "config.json": config,
      "scheduler_config.json": scheduler,
      "diffusion_pytorch_model.safetensors": weights,
    }));
    return folder.card.recommended;
  };
  assertEquals(await withClass("DDIMScheduler"), { scheduler: "ddim", steps: 50 });
  assertEquals(await withClass("UniPCMultistepScheduler"), { scheduler: "unipc", steps: 20 });
  assertEquals(await withClass("HeunDiscreteScheduler"), { scheduler: "heun", steps: 20 });
  const few = await withClass("DPMSolverMultistepScheduler", { num_train_timesteps: 10 });
  assertEquals(few, { scheduler: "dpmpp", steps: 9 });
  assertEquals(await withClass("DDPMScheduler"), undefined);
});

Deno.test("an archive's folder is found however deep it lies and whatever lies beside it", async () => {
  const entries = { ...configs, "unet/diffusion_pytorch_model.safetensors": weights };
  const inside = (prefix: string, more: Entries = {}, slash = "/") =>
    new Map(Object.entries({
      ...more,
      ...Object.fromEntries(
        Object.entries(entries).map((
          [name, bytes],
        ) => [(prefix + name).replaceAll("/", slash), bytes]),
      ),
    }));
  const nothing = new Uint8Array();
  const archives = [
    inside(""),
    inside("w/"),
    inside("w/", { "__MACOSX/w/unet/._config.json": nothing, "__MACOSX/._w": nothing }),
    inside("w/", { ".DS_Store": nothing, "w/.DS_Store": nothing }),
    inside("content/run/weights/"),
    inside("w/", { "README.md": nothing }),
    inside("w/", {}, "\\"),
  ];
  for (const [i, archive] of archives.entries()) {
    const folder = await readFolder(archiveFiles(archive, "w.zip"));
    assertEquals(folder.hash, plain.hash, `archive ${i}`);
  }
  // As a file too: names with back slashes are names like others.
  await using folder = await temporaryFolder();
  await Deno.writeFile(`${folder.path}/w.zip`, await writeZip(inside("w/", {}, "\\")));
  assertEquals((await readFolder(await locate(`${folder.path}/w.zip`))).hash, plain.hash);
});

Deno.test("an archive without model_index.json keeps what lies beside the network: the schedule", async () => {
  for (const prefix of ["", "run/"]) {
    const files = new Map([
      [`${prefix}unet/config.json`, config],
      [`${prefix}unet/diffusion_pytorch_model.safetensors`, weights],
      [`${prefix}scheduler/scheduler_config.json`, encode({ num_train_timesteps: 77 })],
    ]);
    const folder = await readFolder(archiveFiles(files, "w.zip"));
    assertEquals([folder.scheduler.num_train_timesteps, folder.notices], [77, []]);
  }
});

Deno.test("a network that cannot be drawn with is refused by its key", async () => {
  const refuses = (change: Record<string, unknown>, says: string) => {
    const json = { ...JSON.parse(new TextDecoder().decode(config)), ...change };
    const entries = { ...configs, "unet/config.json": encode(json) };
    const files = filesOf({ ...entries, "unet/diffusion_pytorch_model.safetensors": weights });
    return assertRejects(() => readFolder(files), InputError, says);
  };
  await refuses({ in_channels: 6, out_channels: 3 }, "out_channels: expected in_channels, 6");
  await refuses({ in_channels: 3, out_channels: 1 }, "out_channels: expected in_channels, 3");
  await refuses({ in_channels: 5, out_channels: 5 }, "in_channels: expected 1 (grey) to 4");
});

Deno.test("--label takes names with commas and spaces, and names that macOS wrote", async () => {
  await using folder = await temporaryFolder();
  const labels = ["cat, domestic", "dog", " elk ", "café".normalize("NFD")];
  for (const [name, bytes] of Object.entries(configs)) {
    await Deno.mkdir(`${folder.path}/w/${name}`.replace(/\/[^/]*$/, ""), { recursive: true });
    await Deno.writeFile(`${folder.path}/w/${name}`, bytes);
  }
  const card = { _denoise: { labels, null_label: 4 } };
  await Deno.writeFile(`${folder.path}/w/model_index.json`, encode(card));
  await Deno.writeFile(`${folder.path}/w/unet/diffusion_pytorch_model.safetensors`, weights);
  const out = `${folder.path}/a.png`;
  const picture = async (...args: string[]) => {
    const common = ["--backend", "native", "--steps", "2", "--out", out, "--force"];
    const { code, err } = await cli(["sample", "-w", `${folder.path}/w`, ...common, ...args]);
    assertEquals(code, 0, err);
    return decodePng(await Deno.readFile(out)).pixels;
  };
  const asks: [string, string][] = [
    ["cat, domestic", "0"],
    [" elk ", "2"],
    ["café".normalize("NFC"), "3"],
    ["café".normalize("NFD"), "3"],
  ];
  for (const [name, index] of asks) {
    assertEquals(
      await picture("--seed", "1", "--label", name),
      await picture("--seed", "1", "--label", index),
      name,
    );
  }
  const several = await picture("--seeds", "1,2", "--label", "dog,café");
  assertEquals(several, await picture("--seeds", "1,2", "--label", "1,3"));
});
