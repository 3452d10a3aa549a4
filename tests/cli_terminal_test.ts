/** The terminal and the program around commands: what is written where, how it ends, what an error is called. */
import { assert, assertEquals, assertMatch, assertRejects } from "@std/assert";
import { type Io, terminalIo } from "../src/cli/io.ts";
import { run } from "../src/cli/main.ts";
import { FieldError } from "../src/errors.ts";
import { downloadOptions, duration, partProgress, Progress } from "../src/cli/progress.ts";
import { collect, parseNumber, parsePairs, parseSeed, parseWhole } from "../src/cli/values.ts";
import { cli } from "./cli.ts";

/** Standard output and error that keep what is written, some bytes at a time. */
async function terminal(
  work: (io: Io) => unknown,
  { shown = true, quiet = false, atOnce = 5, fails = undefined as Error | undefined } = {},
) {
  const text = { out: "", err: "" };
  const [stdout, stderr] = [Deno.stdout, Deno.stderr];
  const stream = (name: "out" | "err") => ({
    isTerminal: () => shown,
    writeSync(bytes: Uint8Array) {
      if (fails) throw fails;
      text[name] += new TextDecoder().decode(bytes.subarray(0, atOnce));
      return Math.min(atOnce, bytes.length);
    },
    write(bytes: Uint8Array) {
      return Promise.resolve().then(() => this.writeSync(bytes));
    },
  });
  Object.defineProperty(Deno, "stdout", { value: stream("out"), configurable: true });
  Object.defineProperty(Deno, "stderr", { value: stream("err"), configurable: true });
  try {
    await work(terminalIo(quiet, new AbortController().signal));
  } finally {
    Object.defineProperty(Deno, "stdout", { value: stdout, configurable: true });
    Object.defineProperty(Deno, "stderr", { value: stderr, configurable: true });
  }
  return text;
}

Deno.test("lines are written whole, however little a pipe takes at once, and steer no terminal", async () => {
  const text = await terminal((io) => {
    io.out("a long line of text");
    io.err("another \x1b[2J\nline");
    io.out("");
  });
  assertEquals(text.out, "a long line of text\n\n");
  assertEquals(text.err, "another \\u001b[2J\nline\n");
  const escaped = await terminal((io) => io.out("\x07"));
  assertEquals(escaped.out, "\\u0007\n");
});

Deno.test("the last line of a terminal is written over, and gone before anything else is said", async () => {
  const text = await terminal((io) => {
    io.status("10 %");
    io.status("20 %");
    io.err("a notice");
    io.err("another");
    io.status("30 %");
    io.out("result");
    io.status("");
    io.err("done");
  });
  const clear = "\r\x1b[K";
  assertEquals(
    text.err,
    `${clear}10 %${clear}20 %${clear}a notice\nanother\n${clear}30 %${clear}${clear}done\n`,
  );
  assertEquals(text.out, "result\n");
});

Deno.test("where there is no terminal, or nothing is to be said, no status is shown", async () => {
  for (const how of [{ shown: false }, { quiet: true }]) {
    const text = await terminal((io) => {
      io.status("10 %");
      io.err("an error");
    }, how);
    assertEquals(text, { out: "", err: "an error\n" });
  }
});

Deno.test("bytes are written to the last; a reader that has gone is no failure, a full disc is one", async () => {
  const bytes = Uint8Array.from("0123456789abcdef", (c) => c.charCodeAt(0));
  const whole = await terminal((io) => io.writeBytes(bytes));
  assertEquals(whole.out, "0123456789abcdef");
  const work: ((io: Io) => unknown)[] = [
    (io) => io.writeBytes(bytes),
    (io) => io.out("x"),
    (io) => io.err("x"),
  ];
  for (const one of work) {
    await terminal(one, { fails: new Deno.errors.BrokenPipe("gone") });
    const full = new Error("No space left on device");
    await assertRejects(() => terminal(one, { fails: full }), Error, "No space left");
  }
});

Deno.test("seconds in words: tenths, minutes, hours", () => {
  const cases: [number, string][] = [
    [0, "0.0 s"],
    [8.34, "8.3 s"],
    [9.94, "9.9 s"],
    [9.96, "10 s"],
    [10, "10 s"],
    [59.4, "59 s"],
    [59.6, "1 min 0 s"],
    [60, "1 min 0 s"],
    [125.9, "2 min 5 s"],
    [3599, "59 min 59 s"],
    [3600, "1 h 0 min"],
    [3725, "1 h 2 min"],
    [90_061, "25 h 1 min"],
  ];
  for (const [seconds, text] of cases) assertEquals(duration(seconds), text);
});

/** An Io that keeps what it is told, and a clock that only the test moves. */
function recording(quiet = false) {
  const said: string[] = [], shown: string[] = [];
  const stop = new AbortController();
  const io: Io = {
    quiet,
    signal: stop.signal,
    out: () => {},
    err: (line) => said.push(line),
    status: (line) => shown.push(line),
    writeBytes: () => Promise.resolve(),
  };
  const { now } = performance;
  let time = 0;
  performance.now = () => time;
  return {
    io,
    said,
    shown,
    stop,
    at: (seconds: number) => time = 1000 * seconds,
    [Symbol.dispose]: () => void (performance.now = now),
  };
}

Deno.test("a bar shows share, speed and time left, ten times a second at most, and always the end", () => {
  using clock = recording();
  const progress = new Progress(clock.io, 8, 4, "images");
  const bar = (full: number) => "█".repeat(full) + "░".repeat(24 - full);
  clock.at(2);
  progress.update(1);
  clock.at(2.05);
  progress.update(2);
  clock.at(2.1);
  progress.update(3);
  clock.at(6);
  progress.update(6);
  clock.at(6.01);
  progress.update(8);
  progress.end();
  assertEquals(clock.shown, [
    `${bar(3)} 12%  0.25 images/s  14 s left`,
    `${bar(9)} 37%  0.71 images/s  3.5 s left`,
    `${bar(18)} 75%  0.50 images/s  2.0 s left`,
    `${bar(24)} 100%  0.67 images/s  0.0 s left`,
    "",
  ]);
  using other = recording();
  const none = new Progress(other.io, 8, 4, "images");
  other.at(1);
  none.update(0);
  assertMatch(other.shown[0], / 0% {2}0\.00 images\/s {2}… left$/);
});

Deno.test("a part's time left is that of what is left of it; a new part begins anew", () => {
  using clock = recording();
  const show = partProgress(clock.io);
  show("a", 5, 20);
  clock.at(10);
  show("a", 10, 20);
  clock.at(10.5);
  show("b", 0, 4);
  clock.at(11);
  show("b", 2, 4);
  clock.at(11.5);
  show("b", 2, 4);
  clock.at(12.5);
  show("b", 2, 4);
  show("a", 3, 4);
  assertEquals(clock.shown, [
    "a: 5 of 20",
    "a: 10 of 20, 20 s left",
    "b: 0 of 4",
    "b: 2 of 4",
    "b: 2 of 4, 1.0 s left",
    "b: 2 of 4, 2.0 s left",
    "a: 3 of 4",
  ]);
});

Deno.test("downloads of a megabyte are told once they are there, and stop with the command", () => {
  for (const quiet of [false, true]) {
    using clock = recording(quiet);
    const { onProgress, signal } = downloadOptions(clock.io);
    const tell = (received: number, total?: number, url = "https://h.example/a/unet.bin/") =>
      onProgress({ url, received, total });
    tell(2 ** 20 - 1, 2 ** 20 - 1);
    tell(2 ** 20, 2 ** 20);
    clock.at(1);
    tell(1_550_000, 3_100_000);
    clock.at(1.05);
    tell(2_000_000, 3_100_000);
    clock.at(1.1);
    tell(2_060_000, 3_100_000);
    clock.at(2);
    tell(1_550_000);
    clock.at(3);
    tell(1, undefined, "https://h.example/");
    assertEquals(clock.said, quiet ? [] : ["downloaded unet.bin: 1.0 MB"]);
    assertEquals(clock.shown, [
      "",
      "",
      "downloading unet.bin: 1.6 of 3.1 MB, 50%",
      "downloading unet.bin: 2.1 of 3.1 MB, 66%",
      "downloading unet.bin: 1.6 MB",
      "downloading https://h.example/: 0.0 MB",
    ]);
    clock.stop.abort();
    assert(signal.aborted);
  }
});

Deno.test("numbers of flags are written in digits, and bounded", () => {
  assertEquals([parseWhole("--n", "3", 3, 9), parseWhole("--n", "9", 3, 9)], [3, 9]);
  assertEquals([parseSeed("--seed", "0"), parseSeed("--seed", "007")], [0, 7]);
  assertEquals(["-1.5", "1e-3", " 2 "].map((text) => parseNumber("-g", text)), [-1.5, 0.001, 2]);
  const wrong: [() => unknown, string][] = [
    ...["2", "10", "-3", "+3", " 3", "3.0", "1e1", ""].map((text): [() => unknown, string] => [
      () => parseWhole("--n", text, 3, 9),
      `--n: expected a whole number from 3 to 9, found "${text}"`,
    ]),
    ...["", "x", "1,5", "NaN"].map((text): [() => unknown, string] => [
      () => parseNumber("-g", text),
      `-g: expected a number, found "${text}"`,
    ]),
    ...["eta", "=1", ""].map((text): [() => unknown, string] => [
      () => parsePairs("-o", [text]),
      `-o: expected name=value, found "${text}"`,
    ]),
  ];
  for (const [work, message] of wrong) {
    let said = "";
    try {
      work();
    } catch (error) {
      said = (error as Error).message;
    }
    assertEquals(said, message);
  }
  assertEquals(parsePairs("-o", ["a=1", "b=x=y", "c="]), { a: "1", b: "x=y", c: "" });
  assertEquals(parsePairs("-o", ["a=1", "a=2"]), { a: "2" });
  const before = ["a"];
  assertEquals([collect("a"), collect("b", before), before], [["a"], ["a", "b"], ["a"]]);
});

Deno.test("a program that is asked for nothing shows its help; flags alone, or no command, are wrong", async () => {
  assertEquals((await cli([])).code, 0);
  assertEquals((await cli(["--quiet"])).code, 2);
  const help = await cli(["help", "merge"]);
  assertEquals([help.code, help.out.split("\n")[0]], [
    0,
    "Usage: denoise merge [options] <shards...>",
  ]);
  for (const args of [["help", "bogus"], ["bogus"]]) {
    const { code, err } = await cli(args);
    assertEquals(code, 2, args.join(" "));
    assertMatch(err, /^denoise: unknown command 'bogus' \(see --help\)$/);
  }
});

Deno.test("flags that every command has may stand before it, and an error's flag is named as it was typed", async () => {
  const told = async (...args: string[]) => (await cli(args)).err.split("\n")[0];
  const steps = 'denoise: --steps: expected a whole number from 1 to 2147483647, found "0"';
  for (const before of [[], ["-q"], ["--quiet"], ["--debug", "-q"]]) {
    assertEquals(await told(...before, "sample", "--steps", "0"), steps);
  }
  const debug = await cli(["--debug", "sample", "--steps", "0"]);
  assertMatch(debug.err.split("\n")[1], /^(FieldError|InputError|Error): /);
  const network = new URL("./golden/class_conditional", import.meta.url).pathname;
  const tiny = ["sample", "-w", network, "--backend", "native", "--out", "-"];
  const none = await told(...tiny, "--null-label", "99", "-g", "2");
  assert(none.startsWith("denoise: --null-label: expected"), none);
});

/** Runs a command whose output fails with an error. */
async function failing(
  error: unknown,
  { aborted = false, debug = false, args = ["--version"] } = {},
) {
  const said: string[] = [];
  const signal = aborted ? AbortSignal.abort() : new AbortController().signal;
  const code = await run([...args, ...(debug ? ["--debug"] : [])], {
    quiet: false,
    signal,
    out: () => {
      throw error;
    },
    err: (line) => said.push(line),
    status: () => {},
    writeBytes: () => Promise.resolve(),
  });
  return [code, ...said];
}

Deno.test("a failure that is not the user's is exit code 1, one line, and its stack where it is asked for", async () => {
  const fault = new TypeError(" a fault\n   of ours ");
  assertEquals(await failing(fault), [
    1,
    "denoise: a fault of ours (run with --debug for the stack)",
  ]);
  const [code, line, stack] = await failing(fault, { debug: true });
  assertEquals([code, line, stack], [1, "denoise: a fault of ours", fault.stack!]);
  assertEquals(await failing("text"), [1, "denoise: text (run with --debug for the stack)"]);
  assertEquals(await failing(fault, { aborted: true }), [130, "denoise: stopped"]);
});

Deno.test("a field is called by the flag that gave it, unless a file did", async () => {
  const told = async (command: string, field: string, where?: string) =>
    (await failing(new FieldError(field, "one", 2, where), { args: [command, "--help"] }))[1];
  assertEquals(await told("merge", "out"), "denoise: --out: expected one, found 2");
  assertEquals(await told("merge", "out", "a.json"), "denoise: a.json: out: expected one, found 2");
  assertEquals(await told("compare", "scheduler"), "denoise: --schedulers: expected one, found 2");
  assertEquals(await told("sample", "nullLabel"), "denoise: --null-label: expected one, found 2");
  assertEquals(await told("sample", "options.eta"), "denoise: --option eta: expected one, found 2");
  assertEquals(await told("merge", "other"), "denoise: other: expected one, found 2");
});
