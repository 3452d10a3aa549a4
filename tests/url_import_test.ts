/** denoise used from an address, in an empty folder, as someone who has never cloned it would. */
import { assert, assertEquals } from "@std/assert";
import { decodePng } from "../src/image/png.ts";
import { temporaryFolder } from "./cli.ts";
import { serveRepository } from "./serve_repository.ts";

async function deno(args: string[], cwd: string) {
  const { code, stdout, stderr } = await new Deno.Command(Deno.execPath(), {
    args,
    cwd,
    env: { NO_COLOR: "1", DENOISE_CACHE: `${cwd}/cache` },
  }).output();
  const text = (bytes: Uint8Array) => new TextDecoder().decode(bytes);
  return { code, out: text(stdout), err: text(stderr) };
}

Deno.test("deno run http://…/mod.ts sample makes a picture in an empty folder", async () => {
  await using server = serveRepository();
  await using folder = await temporaryFolder();
  const { code, err } = await deno(
    ["run", "-A", "--no-lock", `${server.origin}/mod.ts`, "sample", "--n", "1", "--steps", "2"],
    folder.path,
  );
  assertEquals(code, 0, err);
  const picture = decodePng(await Deno.readFile(`${folder.path}/sample.png`));
  assert(picture.width > 0 && "denoise" in picture.text);
});

/** What the library gives: values, and types. */
const values = `
Batcher FieldError InputError builtInWeights createGenerator filesAt filesOf fromText generate
invert load openModel q_sample readFolder sample scheduleFor schedulers slerp tensorInput
toPixels toText
`.trim().split(/\s+/);
const types = `
Architecture AttributeValue Backend BackendName BatcherOptions Call Conditioning ConstantData
DataPlugin Denoised Dim Distilled DownloadProgress Draw DrawnPicture ElementType Emitter
Evaluation FetchFile Field Files FlatParams Frame Generator Graph GraphWeights Guided Input
Inputs InvertRequest Label LinearOperator LoadOptions LowerOp Lowering Measurement Method
MethodRequest Mix MixRequest Model NamedNetwork Network NetworkDefinition NetworkInputs
NetworkKeys Node OnnxAttribute OptionSchema Picture Pixels PlanRequest PredictionType
ReadOptions Recipe Recommendation Run RunInputs SampleFrame SampleOptions Schedule Scheduler
SchedulerConfig SchedulerOptions Session SessionOptions Shape Size StoredTensor Subject Tensor
TensorData Tensors TimestepSpacing TrainingField TrainingKeys Type Value VarianceType Vector
WeightsCard WeightsFolder
`.trim().split(/\s+/);

Deno.test('import { generate, load } from "http://…/mod.ts" works in a stranger\'s program', async () => {
  await using server = serveRepository();
  await using folder = await temporaryFolder();
  await Deno.writeTextFile(
    `${folder.path}/main.ts`,
    `import * as denoise from "${server.origin}/mod.ts";
import type { ${types.join(", ")} } from "${server.origin}/mod.ts";
const { generate, load } = denoise;
console.log(Object.keys(denoise).join(" "));
await using model = await load("digits", { backend: "wasm" });
const [picture] = await generate(model, { seeds: [7], steps: 2 });
console.log(picture.width, picture.height, picture.channels, (await picture.png()).length > 100);
`,
  );
  const { code, out, err } = await deno(
    ["run", "-A", "--check", "--no-lock", "main.ts"],
    folder.path,
  );
  assertEquals(code, 0, err);
  const [names, made] = out.split("\n");
  assertEquals([names.split(" ").sort(), made], [values, "28 28 1 true"]);
});
