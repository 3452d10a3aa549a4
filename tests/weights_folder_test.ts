/** What of a folder its hash depends on, which of its files are taken, and what is said of it. */
import { assert, assertEquals, assertRejects } from "@std/assert";
import { InputError } from "../src/errors.ts";
import { parseSafetensors, writeSafetensors } from "../src/files/safetensors.ts";
import { type Files, filesOf } from "../src/weights/files.ts";
import { locate } from "../src/weights/find/locate.ts";
import { readFolder, type WeightsFolder } from "../src/weights/read/folder.ts";
import { streamFolder } from "../src/weights/read/streamed.ts";

const golden = new URL("./golden/class_conditional/", import.meta.url);
const file = (name: string) => Deno.readFileSync(new URL(name, golden));
const encode = (value: unknown) => new TextEncoder().encode(JSON.stringify(value));
const json = (name: string) => JSON.parse(new TextDecoder().decode(file(name)));

const WEIGHTS = "unet/diffusion_pytorch_model.safetensors";
const whole: Readonly<Record<string, Uint8Array>> = {
  "unet/config.json": file("unet/config.json"),
  "scheduler/scheduler_config.json": file("scheduler/scheduler_config.json"),
  "model_index.json": file("model_index.json"),
  [WEIGHTS]: file(WEIGHTS),
};
const { tensors } = parseSafetensors(whole[WEIGHTS]);
const scaled = (factor: number) =>
  writeSafetensors(
    new Map([...tensors].map(([name, { shape, data }]) => [
      name,
      { shape, data: data.map((x) => factor * x) },
    ])),
  );

type Entries = Record<string, Uint8Array | undefined>;

const filesWith = (change: Entries): Files =>
  filesOf(
    Object.fromEntries(
      Object.entries({ ...whole, ...change }).filter(([, bytes]) => bytes !== undefined),
    ) as Record<string, Uint8Array>,
    "w/",
  );
const read = (change: Entries = {}): Promise<WeightsFolder> => readFolder(filesWith(change));

Deno.test("the hash is of all that a picture depends on, and of nothing else", async () => {
  const { hash } = await read();
  const config = json("unet/config.json"), index = json("model_index.json");
  const schedule = json("scheduler/scheduler_config.json");
  const card = { _denoise: { ...index._denoise, labels: ["a", "b"] } };
  const others: Record<string, Entries> = {
    "the network's config": { "unet/config.json": encode({ ...config, norm_eps: 1e-4 }) },
    "the schedule": {
      "scheduler/scheduler_config.json": encode({ ...schedule, prediction_type: "sample" }),
    },
    "no schedule": { "scheduler/scheduler_config.json": undefined },
    "the card": { "model_index.json": encode({ ...index, ...card }) },
    "the weights": { [WEIGHTS]: scaled(2) },
  };
  const hashes = new Set([hash]);
  for (const [name, change] of Object.entries(others)) {
    hashes.add((await read(change)).hash);
    assertEquals(hashes.size, 2 + Object.keys(others).indexOf(name), name);
  }
  const same: Entries[] = [
    { "unet/config.json": new TextEncoder().encode(JSON.stringify(config, null, 7)) },
    { "model_index.json": encode({ ...index, _class_name: "AnotherPipeline" }) },
    { "README.md": encode("words") },
  ];
  for (const change of same) assertEquals((await read(change)).hash, hash);
});

Deno.test("shards make one hash, in whichever order the index names them", async () => {
  const keys = [...tensors.keys()];
  const halves = [keys.slice(0, 5), keys.slice(5)].map((names) =>
    writeSafetensors(new Map(names.map((name) => [name, tensors.get(name)!])))
  );
  const map = keys.map((key, i) => [key, i < 5 ? "a.safetensors" : "b.safetensors"]);
  const of = async (entries: unknown[][]) => {
    const { hash } = await read({
      [WEIGHTS]: undefined,
      [`${WEIGHTS}.index.json`]: encode({ weight_map: Object.fromEntries(entries) }),
      "unet/a.safetensors": halves[0],
      "unet/b.safetensors": halves[1],
    });
    return hash;
  };
  assertEquals(await of(map), await of(map.toReversed()));
});

Deno.test("an index names some files beside it: no others, and not thousands", async () => {
  const index = (weight_map: unknown) =>
    read({ [WEIGHTS]: undefined, [`${WEIGHTS}.index.json`]: encode({ weight_map }) });
  const maps: unknown[] = [{ a: "../x.bin" }, { a: "/x.bin" }, { a: "x/y.bin" }, { a: 7 }];
  maps.push({ a: "nothing" }, {}, null, [], 7);
  maps.push(Object.fromEntries(Array.from({ length: 1001 }, (_, i) => [i, `${i}.bin`])));
  for (const map of maps) {
    await assertRejects(
      () => index(map),
      InputError,
      `w/${WEIGHTS}.index.json: expected a weight_map from tensors to up to 1000 files beside it`,
    );
  }
  const none = read({ [WEIGHTS]: undefined, [`${WEIGHTS}.index.json`]: encode(null) });
  await assertRejects(() => none, InputError, "up to 1000 files beside it");
  const many = Object.fromEntries(Array.from({ length: 1000 }, (_, i) => [i, `${i}.bin`]));
  await assertRejects(
    () => index(many),
    InputError,
    "index.json: names the file 0.bin, which is not there",
  );
});

Deno.test("of several variants the known ones come first, in their order, however a folder lists them", async () => {
  const name = (variant: string) => `unet/diffusion_pytorch_model.${variant}.safetensors`;
  const [first] = tensors.keys();
  const order = ["fp16", "bf16", "ema", "non_ema", "fp32", "mine"];
  for (let i = 0; i < order.length; i++) {
    const there = order.slice(i).map((variant, k) => [name(variant), scaled(i + k + 2)] as const);
    for (const listed of [there, there.toReversed()]) {
      const { tensors: found } = await read({
        [WEIGHTS]: undefined,
        ...Object.fromEntries(listed),
      });
      const { data } = tensors.get(first)!;
      assertEquals(found.get(first)!.data, data.map((x) => (i + 2) * x), order[i]);
    }
  }
  for (const variant of ["../x", "a b", "", "x/y"]) {
    await assertRejects(
      () => readFolder(filesWith({}), { variant }),
      InputError,
      `variant: expected a name such as fp16, found "${variant}"`,
    );
  }
});

Deno.test("every wrapper's prefix is taken off, and only where all names have it", async () => {
  const renamed = (rename: (name: string, i: number) => string) =>
    writeSafetensors(new Map([...tensors].map(([name, tensor], i) => [rename(name, i), tensor])));
  const prefixes = ["_orig_mod.", "module.", "unet.", "model.", "ema_model.", "net."];
  for (const prefix of [...prefixes, "ema_model.module.unet."]) {
    const found = await read({ [WEIGHTS]: renamed((name) => prefix + name) });
    assertEquals([...found.tensors.keys()], [...tensors.keys()], prefix);
  }
  const some = renamed((name, i) => i === 0 ? name : `module.${name}`);
  await assertRejects(() => read({ [WEIGHTS]: some }), InputError, "module.");
  await assertRejects(() => read({ [WEIGHTS]: renamed((name) => `x.${name}`) }), InputError, "x.");
});

Deno.test("what a card recommends comes before the scheduler's own sampler", async () => {
  const scheduler = {
    "scheduler/scheduler_config.json": encode({ _class_name: "UniPCMultistepScheduler" }),
  };
  const recommended = { scheduler: "dpmpp", steps: 7 };
  const own = await read({ ...scheduler, "model_index.json": undefined });
  assertEquals(own.card, { recommended: { scheduler: "unipc", steps: 20 } });
  const card = { "model_index.json": encode({ _denoise: { recommended } }) };
  assertEquals((await read({ ...scheduler, ...card })).card, { recommended });
});

Deno.test("where no schedule is said, learned variances are told by the output's channels", async () => {
  const at = async (folder: string) => {
    const { list: _, ...files } = await locate(new URL(`./golden/${folder}/`, import.meta.url));
    const without = /scheduler_config\.json$/;
    const found = await readFolder({
      ...files,
      read: (path, optional) =>
        without.test(path) ? Promise.resolve(undefined) : files.read(path, optional),
    });
    return found.scheduler.variance_type;
  };
  assertEquals(await at("learned_range"), "learned_range");
  assertEquals(await at("class_conditional"), "fixed_small");
});

Deno.test("a folder that has no network lists what it has, eight names at most", async () => {
  const of = (...names: string[]) =>
    readFolder(filesOf(Object.fromEntries(names.map((name) => [name, new Uint8Array()])), "w/"));
  const names = Array.from({ length: 10 }, (_, i) => `${i}.txt`);
  const all = "0.txt, 1.txt, 2.txt, 3.txt, 4.txt, 5.txt, 6.txt, 7.txt";
  const ends = async (count: number, end: string) => {
    const error = await assertRejects(() => of(...names.slice(0, count)), InputError) as Error;
    assert(error.message.endsWith(`, found ${end}`), error.message);
  };
  await ends(0, "nothing");
  await ends(1, "0.txt");
  await ends(8, all);
  await ends(9, `${all} and 1 more files`);
  await ends(10, `${all} and 2 more files`);
  const { list: _, ...unlisted } = filesOf({}, "w/");
  await assertRejects(() => readFolder(unlisted), InputError, ", found neither");
});

Deno.test("streamed: weights of another network, ONNX, and parts of a pipeline", async () => {
  const digest = () => ({ update: () => {}, hex: () => "00" });
  let cancelled = 0;
  const streaming = (files: Files) => ({
    ...files,
    async stream(path: string) {
      const bytes = await files.read(path);
      let at = 0;
      return bytes && new ReadableStream<Uint8Array>({
        pull(controller) {
          if (at >= bytes.length) return controller.close();
          controller.enqueue(bytes.slice(at, at += 512));
        },
        cancel: () => void cancelled++,
      }, { highWaterMark: 0 });
    },
  });
  const foreign = filesWith({
    [WEIGHTS]: writeSafetensors(new Map([...tensors].slice(1))),
  });
  await assertRejects(() => streamFolder(streaming(foreign), digest()), InputError, "are missing");
  assertEquals(cancelled, 1, "the stream is let go");
  const onnx = { ...filesWith({}), file: "net.onnx" };
  const graph =
    "w/net.onnx: expected a network's config and tensors, found an ONNX graph; give the folder or file that it was made from";
  for (const read of [() => streamFolder(streaming(onnx), digest()), () => readFolder(onnx)]) {
    assertEquals((await assertRejects(read, InputError) as Error).message, graph);
  }
  await assertRejects(
    () => streamFolder(streaming(filesWith({ [WEIGHTS]: undefined })), digest()),
    InputError,
    "w/unet/: expected diffusion_pytorch_model.safetensors or diffusion_pytorch_model.fp16.safetensors, found neither",
  );
  await assertRejects(
    () => streamFolder(streaming(filesOf({}, "w/")), digest()),
    InputError,
    "w/: expected a diffusers folder (unet/ or config.json)",
  );

  const half = writeSafetensors(tensors, { dtype: "F16" });
  const fp16 = WEIGHTS.replace(".safetensors", ".fp16.safetensors");
  for (
    const [change, halves] of [
      [{}, false],
      [{ [fp16]: half }, false],
      [{ [WEIGHTS]: undefined, [fp16]: half }, true],
      [{
        "unet/config.json": undefined,
        "config.json": whole["unet/config.json"],
        [WEIGHTS.slice(5)]: whole[WEIGHTS],
      }, false],
    ] as const
  ) {
    const folder = await streamFolder(streaming(filesWith(change)), digest());
    const names = [...tensors.keys()];
    assertEquals(names.map((name) => folder.weights.isHalf(name)), names.map(() => halves));
    assertEquals(folder.card, (await read()).card);
    const found = new Map<string, Float32Array>();
    for await (const [name, data] of folder.weights.tensors()) found.set(name, data.slice());
    assertEquals([...found.keys()].sort(), names.sort());
    if (!halves) { for (const [name, { data }] of tensors) assertEquals(found.get(name), data); }
  }
  const nan = whole[WEIGHTS].slice();
  nan.fill(0xff, nan.length - 4);
  const folder = await streamFolder(streaming(filesWith({ [WEIGHTS]: nan })), digest());
  await assertRejects(
    async () => {
      for await (const _ of folder.weights.tensors());
    },
    InputError,
    `w/${WEIGHTS}: numbers of 1 tensors are not finite (NaN or infinite): "`,
  );
});

/** Files by their paths from a root, seen from a folder in it; none are listed. */
function seenFrom(folder: string, files: Record<string, Uint8Array>): Files {
  return {
    where: `https://example.org/${folder}`,
    read(path) {
      const { pathname } = new URL(path, `https://example.org/${folder}`);
      return Promise.resolve(files[pathname.slice(1)]);
    },
  };
}

Deno.test("schedule and card are looked for in the folder, beside it and above it", async () => {
  const network = { "config.json": whole["unet/config.json"], weights: whole[WEIGHTS] };
  const at = (folder: string) => ({
    [`${folder}config.json`]: network["config.json"],
    [`${folder}diffusion_pytorch_model.safetensors`]: network.weights,
  });
  const schedule = (T: number) => encode({ num_train_timesteps: T });
  const steps = async (folder: string, parts: string, more: Record<string, Uint8Array>) =>
    (await readFolder(seenFrom(folder, { ...at(folder + parts), ...more }))).scheduler
      .num_train_timesteps;
  const name = "scheduler_config.json";
  // From the nearest to the farthest; each is found where there is no nearer one.
  const bare = [`run/x/unet/scheduler/${name}`, `run/x/unet/${name}`, `run/x/scheduler/${name}`];
  bare.push(`run/x/${name}`, `run/scheduler/${name}`);
  for (const i of bare.keys()) {
    const there = Object.fromEntries(bare.slice(i).map((path, k) => [path, schedule(10 + i + k)]));
    assertEquals(await steps("run/x/unet/", "", there), 10 + i, bare[i]);
  }
  const pipeline = [`run/x/scheduler/${name}`, `run/x/${name}`, `run/scheduler/${name}`];
  for (const i of pipeline.keys()) {
    const there = Object.fromEntries(
      pipeline.slice(i).map((path, k) => [path, schedule(10 + i + k)]),
    );
    assertEquals(await steps("run/x/", "unet/", there), 10 + i, pipeline[i]);
  }
  const labels = (...labels: string[]) => encode({ _denoise: { labels } });
  const cards = {
    "run/x/unet/model_index.json": labels("own"),
    "run/x/model_index.json": labels("above"),
  };
  const card = async (folder: string, parts: string, more: Record<string, Uint8Array>) =>
    (await readFolder(seenFrom(folder, { ...at(folder + parts), ...more }))).card.labels;
  assertEquals(await card("run/x/unet/", "", cards), ["own"]);
  const { "run/x/model_index.json": above } = cards;
  assertEquals(await card("run/x/unet/", "", { "run/x/model_index.json": above }), ["above"]);
  assertEquals(await card("run/x/", "unet/", { "run/model_index.json": above }), undefined);
});

Deno.test("of a checkpoint whose files are not listed the running mean is asked for first", async () => {
  const network = (folder: string, bytes: Uint8Array) => ({
    [`${folder}config.json`]: whole["unet/config.json"],
    [`${folder}diffusion_pytorch_model.safetensors`]: bytes,
  });
  const [name, { data }] = [...tensors][0];
  const from = async (folder: string) => {
    const both = {
      ...network(`${folder}unet/`, whole[WEIGHTS]),
      ...network(`${folder}unet_ema/`, scaled(2)),
    };
    const found = await readFolder(seenFrom(folder, both));
    return found.tensors.get(name)!.data[0] / data[0];
  };
  assertEquals(await from("run/checkpoint-500/"), 2);
  assertEquals(await from("run/checkpoint-x/"), 1);
  assertEquals(await from("run/"), 1);
});

Deno.test("a network without its weights, weights without their network: each is told by what is missing", async () => {
  const config = { "unet/config.json": whole["unet/config.json"] };
  const weights = { "diffusion_pytorch_model.safetensors": whole[WEIGHTS] };
  const unlisted = (entries: Record<string, Uint8Array>): Files => {
    const { list: _, ...files } = filesOf(entries, "w/");
    return files;
  };
  const expected = "w/: expected unet/diffusion_pytorch_model.safetensors (or .bin), found ";
  const refused: [Files, string][] = [
    [filesOf(config, "w/"), `${expected}unet/config.json`],
    [unlisted(config), `${expected}none`],
    [{ ...filesOf({}, "w/"), file: "a.pt" }, "w/a.pt: expected weights, found nothing"],
    [
      filesOf(weights, "w/"),
      `w/diffusion_pytorch_model.safetensors: found ${tensors.size} tensors (${
        [...tensors.keys()].slice(0, 3).join(", ")
      } …) and no config.json beside them that says which network they are; put it there, or give a folder that has it with --configs`,
    ],
    [
      unlisted(weights),
      "w/: expected a diffusers folder (unet/config.json or config.json), found neither",
    ],
  ];
  for (const [files, says] of refused) {
    const error = await assertRejects(() => readFolder(files), InputError) as Error;
    assertEquals(error.message, says);
  }
  // With a folder of configs the weights may lie wherever they do.
  const configs = filesOf({ "config.json": whole["unet/config.json"] });
  for (const entries of [weights, { ...config, ...weights }]) {
    assertEquals((await readFolder(filesOf(entries), { configs })).tensors.size, tensors.size);
  }
  // What the folder has itself goes before what it is lent, and that before what lies above it.
  const config2 = json("unet/config.json");
  const eps = (norm_eps: number) => encode({ ...config2, norm_eps });
  const epsOf = async (own: Entries) =>
    JSON.parse(
      (await readFolder(filesOf({ ...weights, ...own } as Record<string, Uint8Array>), {
        configs: filesOf({ "config.json": eps(0.25), "unet/config.json": eps(0.5) }),
      })).configs.get("unet/config.json")!,
    ).norm_eps;
  assertEquals([await epsOf({}), await epsOf({ "config.json": eps(0.125) })], [0.5, 0.125]);
  const T = (num_train_timesteps: number) => encode({ num_train_timesteps });
  const lent = filesOf({
    "scheduler_config.json": T(30),
    "scheduler/scheduler_config.json": T(20),
  });
  const lentName = filesOf({ "scheduler_config.json": T(30) });
  const folder = "run/x/";
  const above = { [`run/scheduler/scheduler_config.json`]: T(40) };
  const at = { [`${folder}config.json`]: whole["unet/config.json"] };
  const files = { ...at, [`${folder}diffusion_pytorch_model.safetensors`]: whole[WEIGHTS] };
  const steps = async (more: Record<string, Uint8Array>, configs?: Files) =>
    (await readFolder(seenFrom(folder, { ...files, ...above, ...more }), { configs })).scheduler
      .num_train_timesteps;
  const own = { [`${folder}scheduler_config.json`]: T(10) };
  assertEquals([await steps(own, lent), await steps({}, lent)], [10, 20]);
  assertEquals([await steps({}, lentName), await steps({})], [30, 40]);
  assertEquals(
    (await readFolder(filesOf(weights, "w/"), { configs })).notices,
    [
      "w/: no scheduler_config.json says how it was trained; diffusers' defaults are taken (DDPM, linear, T = 1000); --configs FOLDER gives others",
    ],
  );
});
