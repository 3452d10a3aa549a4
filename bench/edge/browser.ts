/** Headless Chromium with the site of deploy/browser. */
import { type Browser, chromium, type Page } from "npm:playwright-core@1.65.1";
import { buildSite } from "../../deploy/browser/build.ts";
import { folderBytes } from "./deno.ts";
import { type Measured, median, probe, TIMED } from "./target.ts";

const paths = ["/usr/bin/chromium", "/usr/bin/chromium-browser", "/usr/bin/google-chrome"];

/** A browser that is installed here, or undefined. */
export function findChromium(): string | undefined {
  const named = Deno.env.get("CHROMIUM");
  return [named, ...paths].find((path) => {
    try {
      return path !== undefined && Deno.statSync(path).isFile;
    } catch {
      return false;
    }
  });
}

/** WebGPU on a software adapter, as machines without a GPU need it. */
const softwareGpu = [
  "--enable-unsafe-webgpu",
  "--use-webgpu-adapter=swiftshader",
  "--enable-features=Vulkan,WebGPU",
  "--use-vulkan=swiftshader",
];

export interface Site extends AsyncDisposable {
  readonly origin: string;
  readonly folder: URL;
}

const types: Record<string, string> = {
  html: "text/html; charset=utf-8",
  js: "text/javascript",
  json: "application/json",
  wasm: "application/wasm",
};

/** Builds the site and serves it over loopback. */
export async function serveSite(): Promise<Site> {
  const base = `file://${await Deno.makeTempDir({ prefix: "denoise-site-" })}/`;
  const folder = new URL("dist/", base);
  await buildSite(folder);
  const server = Deno.serve(
    { port: 0, hostname: "127.0.0.1", onListen: () => {} },
    async (request) => {
      const { pathname } = new URL(request.url);
      const path = pathname === "/" ? "index.html" : pathname.slice(1);
      try {
        return new Response(await Deno.readFile(new URL(path, folder)), {
          headers: {
            "content-type": types[path.split(".").at(-1)!] ?? "application/octet-stream",
            // What a page needs for exact clocks and shared memory.
            "cross-origin-opener-policy": "same-origin",
            "cross-origin-embedder-policy": "require-corp",
          },
        });
      } catch {
        return new Response("not found", { status: 404 });
      }
    },
  );
  return {
    origin: `http://127.0.0.1:${server.addr.port}`,
    folder,
    async [Symbol.asyncDispose]() {
      await server.shutdown();
      await Deno.remove(new URL(base), { recursive: true });
    },
  };
}

export function launch(executablePath: string): Promise<Browser> {
  return chromium.launch({ executablePath, args: ["--no-sandbox", ...softwareGpu] });
}

/** A page, and everything that went wrong in it. */
export async function openPage(browser: Browser): Promise<{ page: Page; errors: string[] }> {
  const page = await browser.newPage();
  const errors: string[] = [];
  page.on("pageerror", (error) => errors.push(String(error)));
  page.on("console", (message) => {
    if (message.type() === "error") errors.push(message.text());
  });
  return { page, errors };
}

/** What a page is asked to sample, as text for it to evaluate. */
interface Asked {
  readonly engine: "simd" | "webgpu";
  readonly seeds: readonly number[];
  readonly scheduler?: string;
  readonly steps?: number;
}

export interface Sampled {
  /** Pixels of each seed. */
  readonly pixels: number[][];
  /** Seconds of each seed. */
  readonly seconds: number[];
}

/** Samples with the bundled library in a page of the site, one seed after another. */
export function sampleInPage(page: Page, asked: Asked): Promise<Sampled> {
  return page.evaluate(async (asked) => {
    const at = (path: string) => new URL(path, location.href).href;
    const denoise: typeof import("../../deploy/browser/library.ts") = await import(
      at("denoise.js")
    );
    const engine = await import(at(`engine_${asked.engine}.js`));
    const files = denoise.filesAt(new URL(at("weights/")));
    const model = await denoise.load(files, { backend: await engine.backend() });
    const [pixels, seconds]: [number[][], number[]] = [[], []];
    for (const seed of asked.seeds) {
      const start = performance.now();
      const { scheduler, steps } = asked;
      const [picture] = await denoise.generate(model, { seeds: [seed], scheduler, steps });
      seconds.push((performance.now() - start) / 1000);
      pixels.push([...picture.pixels]);
    }
    return { pixels, seconds };
  }, asked);
}

/** JavaScript heap, array buffers and WebAssembly memory of a page, in bytes. */
async function memoryOf(page: Page): Promise<number> {
  const session = await page.context().newCDPSession(page);
  const usage = await session.send("Runtime.getHeapUsage") as unknown as Record<string, number>;
  await session.detach();
  return usage.usedSize + (usage.embedderHeapUsedSize ?? 0) + (usage.backingStorageSize ?? 0);
}

/** The site in a browser, on WebAssembly and on WebGPU with a software adapter. */
export async function measureBrowser(executable: string): Promise<Measured[]> {
  await using site = await serveSite();
  const size = await folderBytes(site.folder);
  const results: Measured[] = [];
  for (const engine of ["simd", "webgpu"] as const) {
    const start = performance.now();
    const browser = await launch(executable);
    try {
      const { page } = await openPage(browser);
      await page.goto(`${site.origin}/index.html?engine=${engine}&steps=1`);
      await page.waitForSelector("body[data-done]", { timeout: 480_000 });
      const coldStart = performance.now() - start;
      const { pixels } = await sampleInPage(page, { engine, ...probe, seeds: [probe.seed] });
      // A software GPU takes seconds an evaluation, and its speed says nothing about a real one.
      const timed = engine === "simd"
        ? await sampleInPage(page, {
          engine,
          seeds: Array.from({ length: TIMED }, (_, i) => 1000 + i),
        })
        : undefined;
      results.push({
        size,
        target: engine === "simd" ? "browser, WebAssembly" : "browser, WebGPU (SwiftShader)",
        coldStart,
        memory: { bytes: await memoryOf(page), of: "JS heap, without WebAssembly's" },
        secondsAnImage: timed ? median(timed.seconds) : NaN,
        pixels: Uint8Array.from(pixels[0]),
        notes: [`Chromium ${browser.version()}`],
      });
    } finally {
      await browser.close();
    }
  }
  return results;
}
