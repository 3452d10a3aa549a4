/** `serve`: pictures over HTTP. */
import { backendNames } from "../../backends/names.ts";
import { schedulers as builtIn } from "../../../schedulers/mod.ts";
import type { Scheduler } from "../../diffusion/mod.ts";
import { InputError } from "../../errors.ts";
import type { Model } from "../../model/model.ts";
import { servedSources, sourcesByName } from "../../weights/find/sources.ts";
import { loadModel, loadScheduler } from "../sampling_options.ts";
import {
  clientBehindProxy,
  createApp,
  defaultLimits,
  type Limits,
  type LogEntry,
} from "../../server/mod.ts";
import { serve } from "../../server/serve.ts";
import type { Command } from "../command.ts";
import type { Io } from "../io.ts";
import { reasonOf } from "../files.ts";
import { collect, parseNumber, parsePairs, parseWhole } from "../values.ts";
import { defaultHelp, type LoadFlags, loadFlags } from "../weights.ts";

interface Flags extends LoadFlags {
  weights: string[];
  scheduler: string[];
  limit: string[];
  backend: string;
  threads?: string;
  port: string;
  host: string;
  signed: boolean;
  publicUrl?: string;
  schedulerVersion?: string;
  metrics?: string;
  cors: string[];
  proxy?: string;
  page: boolean;
}

/** Milliseconds for the engines to let go, of the five seconds that orchestrators give. */
const CLOSE_MS = 300;

export function define(command: Command, io: () => Io): void {
  const limits = Object.entries(defaultLimits).map(([name, value]) => `  ${name}=${value}`);
  loadFlags(command.option(
    "-w, --weights <name=source>",
    `weights and the name they get; repeatable (default: ${
      defaultHelp(servedSources().join(", "))
    })`,
    collect,
    [],
  ))
    .option("--backend <name>", backendNames.join(", "), "auto")
    .option("--threads <n>", "CPU threads (default: every core)")
    .option("-p, --port <n>", "port; 0 takes any", "8000")
    .option("--host <address>", "address to listen on; 0.0.0.0 is every one", "127.0.0.1")
    .option("--scheduler <file>", "a plug-in to offer, by path or address; repeatable", collect, [])
    .option(
      "--scheduler-version <text>",
      "names the plug-ins' code in ETags; give several servers the same (default: each start its own)",
    )
    .option("--limit <name=n>", "a limit, see below; repeatable", collect, [])
    .option("--signed", "pictures only by signed address or key", false)
    .option("--metrics <who>", "public, key (default: key where there are keys or --signed)")
    .option("--public-url <url>", "where visitors reach this server")
    .option("--cors <origin>", "an origin browsers may call from (default: all)", collect, [])
    .option("--proxy <header>", "trust this header of a proxy for the client's address")
    .option("--no-page", "serve the API without the page")
    .addHelpText(
      "after",
      `
Secrets come from the environment: DENOISE_KEYS (bearer keys for POST, separated by commas),
DENOISE_SIGNING_KEY (for signed addresses).

Limits and their defaults:
${limits.join("\n")}

Examples:
  serve
  serve --weights digits --weights faces=./faces/ --port 8080 --limit maxQueue=5000`,
    )
    .action((flags: Flags) => run(flags, io()));
}

async function run(flags: Flags, io: Io): Promise<void> {
  parseMetrics(flags.metrics);
  const port = parseWhole("--port", flags.port, 0, 65535);
  const limits = parseLimits(flags.limit);
  const keys = Deno.env.get("DENOISE_KEYS")?.split(",").map((key) => key.trim()).filter(Boolean);
  const signingKey = Deno.env.get("DENOISE_SIGNING_KEY");
  if (flags.signed && !signingKey && !keys?.length) {
    throw new InputError("--signed: expected DENOISE_SIGNING_KEY or DENOISE_KEYS to be set");
  }
  // Before weights are loaded, which may take minutes.
  const client = flags.proxy === undefined ? undefined : clientBehindProxy(flags.proxy);
  checkAddress(flags.host, port);
  if (flags.publicUrl !== undefined && !URL.canParse(flags.publicUrl)) {
    throw new InputError(
      `--public-url: expected an address like https://example.org/, found "${flags.publicUrl}"`,
    );
  }
  const sources = sourcesByName(flags.weights.length > 0 ? flags.weights : servedSources());
  const schedulers = await allSchedulers(flags.scheduler);
  const opened = new Map<string, Model>();
  const open = async (name: string) => {
    // Opened again, weights are those that were served before.
    const refresh = flags.refresh && !opened.has(name);
    const model = await loadModel({ ...flags, refresh, weights: sources.get(name)! }, io);
    // In the place of one that broke, which the server has closed.
    opened.set(name, model);
    return model;
  };
  const models: Record<string, Model> = {};
  let served = false;
  try {
    for (const name of sources.keys()) models[name] = await open(name);
    if (Object.values(models).some(({ backend }) => backend === "native")) {
      io.err(
        "native computes on the thread that answers: every answer waits for the evaluation under " +
          "way. wasm answers meanwhile.",
      );
    }
    const log = io.quiet ? () => {} : (entry: LogEntry) => io.out(logLine(entry));
    const app = createApp({
      models,
      limits,
      schedulers,
      schedulersVersion: flags.schedulerVersion,
      metrics: parseMetrics(flags.metrics),
      keys,
      signingKey,
      pictures: flags.signed ? "signed" : "public",
      reopen: open,
      log,
      corsOrigins: flags.cors.length ? flags.cors : "*",
      publicUrl: flags.publicUrl,
      page: flags.page,
      client,
    });
    app.warmUp().catch((error) => log({ level: "error", message: `warm-up: ${error}` }));
    await serve(app, {
      port,
      hostname: flags.host,
      signal: io.signal,
      onListen: (address) => io.err(`denoise: listening on ${address} (Ctrl-C ends it)`),
    });
    served = true;
  } finally {
    await closeAll([...opened.values()], () => Deno.exit(served ? 0 : 1));
  }
}

/** Closes models; an engine that hangs cannot be closed, and must not keep the process from ending. */
export async function closeAll(
  models: readonly Pick<Model, "close">[],
  onHang: () => void,
  ms = CLOSE_MS,
): Promise<void> {
  const timer = setTimeout(onHang, ms);
  await Promise.all(models.map((model) => model.close())).finally(() => clearTimeout(timer));
}

function parseMetrics(who: string | undefined): "public" | "key" | undefined {
  if (who === undefined || who === "public" || who === "key") return who;
  throw new InputError(`--metrics: expected public or key, found "${who}"`);
}

/** @throws InputError where nothing can listen there. */
function checkAddress(hostname: string, port: number): void {
  try {
    Deno.listen({ hostname, port }).close();
  } catch (error) {
    const { errors } = Deno;
    const reason = error instanceof errors.AddrInUse
      ? "another program listens there; give another --port, or 0 for any"
      : error instanceof errors.AddrNotAvailable
      ? "this machine has no such address; 127.0.0.1 is itself, 0.0.0.0 every address it has"
      : reasonOf(error);
    throw new InputError(`--host ${hostname} --port ${port}: cannot be listened on: ${reason}`);
  }
}

function logLine(entry: LogEntry): string {
  return JSON.stringify({ time: new Date().toISOString(), ...entry });
}

function parseLimits(texts: readonly string[]): Partial<Limits> {
  const pairs = Object.entries(parsePairs("--limit", texts)).map(([name, text]) => {
    if (!Object.hasOwn(defaultLimits, name)) {
      const known = Object.keys(defaultLimits).join(", ");
      throw new InputError(`--limit: expected one of ${known}, found "${name}"`);
    }
    const limit = parseNumber(`--limit ${name}`, text);
    if (limit < 0) {
      throw new InputError(`--limit ${name}: expected a positive number, found ${text}`);
    }
    return [name, limit];
  });
  return Object.fromEntries(pairs);
}

async function allSchedulers(files: readonly string[]): Promise<Record<string, Scheduler>> {
  const all: Record<string, Scheduler> = { ...builtIn };
  for (const file of files) {
    const scheduler = await loadScheduler(file);
    all[scheduler.name] = scheduler;
  }
  return all;
}
