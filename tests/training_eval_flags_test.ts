/** `eval`: what is refused before anything is measured, and what its flags change of the figures. */
import { assertEquals, assertStringIncludes } from "@std/assert";
import { cli, temporaryFolder } from "./cli.ts";
import { withEnvironment } from "./hub.ts";
import { pictureFolder } from "./training_pictures.ts";

const golden = (name: string) => new URL(`./golden/${name}`, import.meta.url).pathname;
const classes = golden("class_conditional");

Deno.test("what could not be measured is refused before anything is", async () => {
  await using folder = await temporaryFolder();
  const at = (name: string) => `${folder.path}/${name}`;
  await pictureFolder(at("data"), ["a", "b"], 4);
  await pictureFolder(folder.path, ["loose"], 4);
  const cases: [string[], string][] = [
    ...["0", "0.51"].map((share): [string[], string] => [
      [`--holdout=${share}`],
      `--holdout: expected a share above 0, up to 0.5, found ${share}`,
    ]),
    [["--teacher"], "class_conditional/ was not distilled"],
    [["--side-by-side", at("s.png")], "--side-by-side: expected --teacher WEIGHTS with it"],
    [["--teacher", golden("train_unconditional")], "makes pictures [3,16,16], "],
    [["--also", at("loose")], "expected data with classes"],
    [["--nearest", at("none/n.png")], "--nearest "],
    [["--side-by-side", at("none/s.png"), "--teacher", classes], "--side-by-side "],
    [["--json", at("none/f.json")], "--json "],
    [["--samples", "x"], "--samples: expected a whole number from 0"],
    [["--classifier-steps", "0"], "--classifier-steps: expected a whole number from 1"],
    [["--option", "theta=1"], "theta"],
    [["--guided", "880-170"], "--guided: expected two timesteps, the earlier first"],
    [
      ["--guided", "0-9,1000-2000"],
      '--guided: expected timesteps from 0 to 999, found "1000-2000"',
    ],
  ];
  for (const [args, message] of cases) {
    const { code, out, err } = await cli([
      ...["eval", classes, "--data", at("data"), "--holdout", "0.5", "--loss-pictures", "0"],
      ...["--bits-pictures", "0", "--samples", "0", ...args],
    ]);
    assertEquals([code, out], [2, ""], `${args}: ${err}`);
    assertStringIncludes(err, message);
  }
  assertEquals([...Deno.readDirSync(folder.path)].length, 2);
});

Deno.test("figures are of as many pictures, samples and scales as are asked for, as JSON alone where it is", async () => {
  await using folder = await temporaryFolder();
  const data = `${folder.path}/data`;
  await pictureFolder(data, ["a", "b", "c", "d", "e", "f", "g", "h", "i", "j"], 4);
  const few = [
    "--holdout",
    "0.5",
    "--loss-pictures",
    "2",
    "--bits-pictures",
    "0",
    "--samples",
    "3",
  ];
  const sampler = [
    "--steps",
    "1,2",
    "--classifier-steps",
    "2",
    "--guidance",
    "1,2",
    "--threads",
    "1",
  ];
  const { code, out, err } = await withEnvironment(
    { DENOISE_CACHE: `${folder.path}/cache` },
    () => cli(["eval", classes, "--data", data, ...few, ...sampler, "--json", "-"]),
  );
  assertEquals(code, 0, err);
  const figures = JSON.parse(out);
  assertEquals([figures.heldOutPictures, figures.bits], [20, undefined]);
  // Weights without a class that means none are not guided, whatever is listed.
  const told = figures.samples.map((s: Record<string, number>) => [s.guidance, s.samples, s.steps]);
  assertEquals(told, [[1, 3, 1], [1, 3, 2]]);
});
