/** The command line: finds the command, runs it, turns what went wrong into one line. */
import { Command, CommanderError } from "npm:commander@15.1.0";
import { FieldError, InputError } from "../errors.ts";
import { commands, loadCommand } from "./command.ts";
import { type Io, terminalIo } from "./io.ts";
import config from "../../deno.json" with { type: "json" };

/** As deno.json says. */
export const VERSION: string = config.version;

/** Exit codes: 0 done, 1 a failure that is not the user's, 2 wrong input, 130 stopped by Ctrl-C. */
export const exitCodes = { failure: 1, wrongInput: 2, interrupted: 130 } as const;

/** Runs the program in this process and sets its exit code. */
export async function main(args: readonly string[]): Promise<void> {
  const stop = new AbortController();
  const onInterrupt = () => {
    // A second Ctrl-C does not wait for the current step.
    if (stop.signal.aborted) Deno.exit(exitCodes.interrupted);
    stop.abort(new DOMException("stopped by Ctrl-C", "AbortError"));
  };
  Deno.addSignalListener("SIGINT", onInterrupt);
  try {
    const io = terminalIo(args.includes("--quiet") || args.includes("-q"), stop.signal);
    const code = await run(args, io);
    if (code !== 0) Deno.exit(code);
  } finally {
    Deno.removeSignalListener("SIGINT", onInterrupt);
  }
}

/** Runs a command line and gives its exit code. */
export async function run(args: readonly string[], io: Io): Promise<number> {
  let program: Command | undefined;
  try {
    const inOrder = commandFirst(args);
    program = await build(inOrder, io);
    await program.parseAsync(inOrder, { from: "user" });
    return 0;
  } catch (error) {
    const command = program?.commands.find((command) => args.includes(command.name()));
    return report(asTyped(error, command), args.includes("--debug"), io);
  }
}

/** A field's error under the name of the flag that gave it: `options.eta` is `--option eta`. */
function asTyped(error: unknown, command: Command | undefined): unknown {
  if (!(error instanceof FieldError) || error.where !== undefined) return error;
  const [name, ...rest] = error.field.replace(/^options\./, "option.").split(".");
  const flag = `--${name.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`)}`;
  const isKnown = [flag, `${flag}s`].find((long) =>
    command?.options.some((option) => option.long === long)
  );
  return isKnown ? error.under([isKnown, ...rest].join(" ")) : error;
}

/** `--debug sample` is `sample --debug`, and `help sample` is `sample --help`. */
function commandFirst(args: readonly string[]): string[] {
  const [first, ...rest] = args;
  if (first === "help") {
    const isKnown = rest.length === 0 || commands.some(({ name }) => name === rest[0]);
    return isKnown ? [...rest, "--help"] : rest;
  }
  const at = args.findIndex((arg) => !["-q", "--quiet", "--debug"].includes(arg));
  return at < 1 ? [...args] : [args[at], ...args.slice(0, at), ...args.slice(at + 1)];
}

async function build(args: readonly string[], io: Io): Promise<Command> {
  const program = new Command("denoise")
    .description("Pixel diffusion models: sample, train, serve. No Python.")
    .version(VERSION, "-V, --version", "print the version")
    .helpOption("-h, --help", "show this help")
    .helpCommand(false)
    .exitOverride()
    .configureOutput({
      writeOut: (text) => io.out(text.trimEnd()),
      writeErr: (text) => io.err(text.trimEnd()),
      outputError: () => {},
    });
  const asked = args.find((arg) => !arg.startsWith("-"));
  for (const { name, summary } of commands) {
    const command = program.command(name).description(summary).exitOverride()
      .option("-q, --quiet", "say nothing but errors")
      .option("--debug", "show where an error came from");
    command.copyInheritedSettings(program);
    if (name === asked) (await loadCommand(name)).define(command, () => io);
    else command.action(() => {});
  }
  if (asked === undefined) {
    program.action(() => program.help());
  }
  return program;
}

function report(error: unknown, debug: boolean, io: Io): number {
  if (error instanceof CommanderError) {
    if (error.exitCode === 0) return 0;
    io.err(`denoise: ${oneLine(error.message.replace(/^error: /, ""))} (see --help)`);
    return exitCodes.wrongInput;
  }
  const { signal } = io;
  if (signal.aborted) {
    io.err("denoise: stopped");
    return exitCodes.interrupted;
  }
  const message = oneLine(error instanceof Error ? error.message : String(error));
  const known = error instanceof InputError;
  io.err(`denoise: ${message}${known || debug ? "" : " (run with --debug for the stack)"}`);
  if (debug && error instanceof Error) io.err(error.stack ?? "");
  return known ? exitCodes.wrongInput : exitCodes.failure;
}

function oneLine(message: string): string {
  return message.trim().replace(/\s*\n\s*/g, " ");
}
