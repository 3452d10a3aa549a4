/** Every command's arguments and flags, their short names and what they are where nobody says; and their bounds. */
import { assertEquals } from "@std/assert";
import { Command } from "npm:commander@15.1.0";
import { commands, loadCommand } from "../src/cli/command.ts";
import { defineRecipeOptions } from "../src/cli/recipe_flags.ts";
import { encodePng } from "../src/image/png.ts";
import { cli, temporaryFolder } from "./cli.ts";
import { withEnvironment } from "./hub.ts";

/** A command's arguments, then its flags; "!" is required, "= …" is what stands where none is given. */
async function spelled(name: string): Promise<string[]> {
  const command = new Command(name);
  (await loadCommand(name)).define(command, () => {
    throw new Error("nothing runs");
  });
  const usual = (value: unknown) => value === undefined ? "" : ` = ${JSON.stringify(value)}`;
  const list = command.registeredArguments.map((argument) => {
    const { required, variadic, defaultValue } = argument;
    const what = `${argument.name()}${variadic ? "..." : ""}`;
    return `${required ? `<${what}>` : `[${what}]`}${usual(defaultValue)}`;
  });
  const flags = command.options.map(({ flags, mandatory, defaultValue }) =>
    `${mandatory ? "! " : ""}${flags}${usual(defaultValue)}`
  );
  return [...list, ...flags];
}

const read = ["--variant <name>", "--configs <folder>", "--refresh"];
const engine = ['--backend <name> = "auto"', "--threads <n>"];
const model = (weights: string) => [`-w, --weights <weights> = "${weights}"`, ...read, ...engine];
const steps = "--steps <n>", label = "-l, --label <label>", force = "--force = false";
const options = "-o, --option <name=value>", guidance = "-g, --guidance <scale>";

const flags: Record<string, string[]> = {
  sample: [
    ...model("heroes-4"),
    ...["-s, --scheduler <name>", "--schedule <name>", steps, "--timesteps <list>"],
    ...["--seeds <list>", "--seed <n>", "-n, --n <count>", label, "--with <seed>", "--mix <share>"],
    ...[guidance, "--guided <from-to>", "--null-label <index>", options],
    ...["--scale <n>", "--size <n>", "--batch <n>", "--from <picture>"],
    ...['--out <file> = "sample.png"', "--force", "--resume", "--shard <i/n>"],
  ],
  merge: ["<shards...>", "! --out <path>", force],
  noise: [
    ...["<image>", '--schedule <names> = "linear"', "--frames <n>", '--steps <n> = "1000"'],
    ...["--step-by-step", "--size <pixels>", '--seed <n> = "0"', '--out <file> = "noise.png"'],
    "--force",
  ],
  compare: [
    ...[...model("heroes"), '--seed <n> = "0"'],
    ...['--schedulers <names> = "ddpm,ddim,dpmpp,unipc"', '--steps <list> = "5,10,20,50"'],
    ...[label, guidance, '--out <file> = "compare.png"', force],
  ],
  interpolate: [
    ...["<a>", "<b>", ...model("heroes"), '--frames <n> = "16"', steps, label],
    ...[`${guidance} = "1"`, '--out <file> = "interpolate.gif"', force],
  ],
  restore: [
    ...["<picture>", ...model("heroes"), "--mask <picture>", '--grow <pixels> = "0"'],
    ...["--scale <n[:kernel]>", "--blur <kernel>", "--colour", "--noise <sigma>"],
    ...["--operator <name>", "--operator-option <name=value>", "--matrix <file>", "--simulate"],
    ...['-n, --n <count> = "1"', '--seed <n> = "0"', "-s, --sampler <name>", steps, options],
    ...[label, `${guidance} = "1"`, '--out <file> = "restore.png"', "--single", "--force"],
  ],
  eval: [
    ...['[weights] = "heroes"', ...read, "! --data <source>", "--also <data> = []"],
    ...['--holdout <share> = "0.1"', '--loss-pictures <n> = "256"', '--bits-pictures <n> = "16"'],
    ...['--samples <n> = "1000"', "--classifier-steps <n>", '-g, --guidance <list> = "1,2"'],
    ...["--guided <list>", "--steps <list>", "-s, --scheduler <list>", `${options} = []`],
    ...["--teacher [list]", "--side-by-side <file>", "--nearest <file>", "--restore <n>"],
    "--restore-samplers <list> = " +
    '"ddrm:20,ddnm:20,ddnm:20:start=0.5:end=0.1,ddnm:100,ddnm:100:start=0.5:end=0.1,pigdm:20"',
    ...["--restore-tasks <names>", '--answers <n> = "1"', "--labelled"],
    ...['--backend <name> = "native"', "--threads <n>", "--json <file>"],
  ],
  inspect: ['[weights] = "heroes"', ...read, "--json = false"],
  convert: ["<weights>", "<out>", ...read, "--fp16 = false", force],
  serve: [
    ...["-w, --weights <name=source> = []", ...read, ...engine, '-p, --port <n> = "8000"'],
    ...['--host <address> = "127.0.0.1"', "--scheduler <file> = []", "--scheduler-version <text>"],
    ...["--limit <name=n> = []", "--signed = false", "--metrics <who>", "--public-url <url>"],
    ...["--cors <origin> = []", "--proxy <header>", "--no-page"],
  ],
  train: [
    ...["--recipe <file>", '--out <folder> = "run"', "--resume <folder>", "--init <weights>"],
    ...['--backend <name> = "native"', "--threads <n>", "--watch [port]", "--print-recipe"],
  ],
};

Deno.test("commands have these arguments and flags, in the help's order, each with this default", async () => {
  const ofRecipes = new Command();
  defineRecipeOptions(ofRecipes);
  const own = new Set(ofRecipes.options.map(({ flags }) => flags));
  const order = ["sample", "merge", "noise", "compare", "interpolate", "restore", "train", "eval"];
  assertEquals(commands.map(({ name }) => name), [...order, "inspect", "convert", "serve"]);
  await withEnvironment({ DENOISE_WEIGHTS: "" }, async () => {
    for (const { name } of commands) {
      const found = (await spelled(name)).filter((flag) => !own.has(flag));
      assertEquals(found, flags[name], name);
    }
  });
});

Deno.test("the deployment's weights stand where a command names none, and the help says what names them", async () => {
  await withEnvironment({ DENOISE_WEIGHTS: "./mine" }, async () => {
    for (const name of ["sample", "compare", "interpolate", "restore", "eval", "inspect"]) {
      const [weights] = (await spelled(name)).filter((flag) => flag.includes("weights"));
      assertEquals(weights.split(" = ")[1], '"./mine"', name);
      const { out } = await cli([name, "--help"]);
      const told = out.replace(/\s+/g, " ");
      assertEquals(told.includes("(default: ./mine; DENOISE_WEIGHTS names others)"), true, told);
    }
  });
});

Deno.test("the program's help names every command with its summary, and nothing else", async () => {
  const { out } = await cli(["--help"]);
  const lines = out.split("\n");
  assertEquals(lines.slice(0, 3), [
    "Usage: denoise [options] [command]",
    "",
    "Pixel diffusion models: sample, train, serve. No Python.",
  ]);
  const flag = (line: string) => line.trim().replace(/ {2,}/, "  ");
  const at = (title: string) => lines.indexOf(title) + 1;
  assertEquals(lines.slice(at("Options:"), at("Commands:") - 2).map(flag), [
    "-V, --version  print the version",
    "-h, --help  show this help",
  ]);
  const told = lines.slice(at("Commands:")).map((line) => line.trim().split(/ {2,}/));
  const expected = commands.map(({ name, summary }) => [name, summary]);
  assertEquals(told.map(([usage, summary]) => [usage.split(" ")[0], summary]), expected);
  const ofOne = (await cli(["merge", "--help"])).out.split("\n").map(flag);
  for (
    const line of [
      "-h, --help  show this help",
      "-q, --quiet  say nothing but errors",
      "--debug  show where an error came from",
    ]
  ) assertEquals(ofOne.includes(line), true, line);
});

/** The help of every command on lines as long as they are. */
async function helpOfAll(): Promise<string> {
  const texts: string[] = [];
  for (const { name } of commands) {
    const command = new Command(name).configureHelp({ helpWidth: 10_000 })
      .configureOutput({ writeOut: (text) => texts.push(text) });
    (await loadCommand(name)).define(command, () => {
      throw new Error("nothing runs");
    });
    command.outputHelp();
  }
  return texts.join("\n");
}

Deno.test("the help of every command is, word by word, what tests/golden/help.txt has", async () => {
  const path = new URL("./golden/help.txt", import.meta.url);
  const found = await withEnvironment({ DENOISE_WEIGHTS: "" }, helpOfAll);
  // After a change that is meant: DENOISE_NEW_GOLDEN=1 deno test -A tests/cli_flags_test.ts
  if (Deno.env.get("DENOISE_NEW_GOLDEN")) await Deno.writeTextFile(path, found);
  assertEquals(found.split("\n"), (await Deno.readTextFile(path)).split("\n"));
});

const whole = (least: number, most: number) => `expected a whole number from ${least} to ${most}`;
const most = 2 ** 31 - 1, threads = whole(1, 1024);

/** What is refused before anything is read or loaded; `~` is a folder with a picture x.png. */
const bounds: [args: string[], flag: string, expected: string, wrong: (string | number)[]][] = [
  [["sample"], "--steps", whole(1, most), [0, most + 1]],
  [["sample"], "--null-label", whole(0, most), ["-1", most + 1]],
  [["sample"], "--batch", whole(1, 4096), [0, 4097]],
  [["sample"], "--scale", whole(1, 256), [0, 257]],
  [["sample"], "--n", whole(1, 10_000_000), [0, 10_000_001]],
  [["sample", "--n", "1"], "--threads", threads, [0, 1025]],
  [["compare", "--schedulers", "ddim"], "--steps", whole(1, 100_000), [0, 100_001]],
  [["interpolate", "1", "2"], "--frames", whole(2, 1000), [1, 1001]],
  [["interpolate", "1", "2"], "--steps", whole(1, most), [0, most + 1]],
  [["noise", "~/x.png"], "--frames", whole(2, 1000), [1, 1001]],
  [["noise", "~/x.png"], "--steps", whole(2, 1_000_000), [1, 1_000_001]],
  [["noise", "~/x.png", "--step-by-step"], "--steps", whole(2, 10_000), [1, 10_001]],
  [["noise", "~/x.png"], "--size", whole(1, 4096), [0, 4097]],
  [["restore", "~/x.png", "--colour"], "--n", whole(1, 100), [0, 101]],
  [["restore", "~/x.png", "--colour"], "--steps", whole(1, most), [0, most + 1]],
  [["restore", "~/x.png", "--colour"], "--grow", whole(0, 100), ["-1", 101]],
  [["serve"], "--port", whole(0, 65_535), ["-1", 65_536]],
  [["serve", "--port", "0"], "--threads", threads, [0, 1025]],
  [["eval", "--data", "~"], "--threads", threads, [0, 1025]],
  [["eval", "--data", "~"], "--loss-pictures", whole(0, 10_000_000), ["-1", 10_000_001]],
  [["eval", "--data", "~"], "--bits-pictures", whole(0, 10_000_000), ["-1", 10_000_001]],
  [["eval", "--data", "~"], "--samples", whole(0, 10_000_000), ["-1", 10_000_001]],
  [["eval", "--data", "~"], "--classifier-steps", whole(1, 1e9), [0, 1e9 + 1]],
];

Deno.test("numbers of flags are bounded, and the bounds are said", async () => {
  await using folder = await temporaryFolder();
  const picture = { pixels: new Uint8Array(64), width: 8, height: 8, channels: 1 };
  await Deno.writeFile(`${folder.path}/x.png`, encodePng(picture));
  const takesOut = ["sample", "compare", "interpolate", "noise", "restore"];
  for (const [args, flag, expected, wrong] of bounds) {
    for (const value of wrong) {
      const here = args.map((arg) => arg.replace("~", folder.path));
      const out = takesOut.includes(args[0]) ? ["--out", "-"] : [];
      const { code, err } = await cli([...here, ...out, `${flag}=${value}`]);
      assertEquals([code, err], [2, `denoise: ${flag}: ${expected}, found "${value}"`], args[0]);
    }
  }
});
