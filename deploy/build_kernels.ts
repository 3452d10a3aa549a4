/** Compiles `src/engine/kernels/` to `src/engine/wasm/`: with fused multiply-add (relaxed SIMD) and without. */
import asc from "npm:assemblyscript@0.28.20/asc";

const here = new URL("../src/engine/", import.meta.url);
export const builds = { relaxed: ["--enable", "relaxed-simd"], plain: [] } as const;
export type Build = keyof typeof builds;

/** The bytes of one build. */
export async function compile(build: Build): Promise<Uint8Array> {
  let bytes: Uint8Array | undefined;
  const { error, stderr } = await asc.main([
    "kernels/engine.ts",
    // Not -O3: it makes one expression of what comes after each other, and V8 has no registers for it.
    ...["--outFile", "engine.wasm", "--runtime", "stub", "--noAssert", "-O2"],
    ...["--enable", "simd", "--enable", "threads", ...builds[build]],
    // The memory is given, shared between threads, and may have any size.
    ...["--importMemory", "--sharedMemory", "--initialMemory", "1", "--maximumMemory", "65536"],
    // Errors need no messages: what the kernels are asked is checked before.
    ...["--use", "abort="],
  ], {
    readFile: (name, base) => {
      try {
        return Deno.readTextFileSync(new URL(`${base}/${name}`, here));
      } catch {
        return null;
      }
    },
    writeFile: (_name, contents) => {
      bytes = contents as Uint8Array;
    },
    listFiles: () => [],
  });
  if (error) throw new Error(`${error.message}\n${stderr}`);
  return bytes!;
}

/** A TypeScript module with the bytes, so that they come along wherever modules do. */
export function moduleOf(build: Build, bytes: Uint8Array): string {
  const text = btoa(String.fromCharCode(...bytes));
  const lines = text.match(/.{1,96}/g)!.map((line) => `  "${line}"`).join(" +\n");
  return `/** ${build}.wasm in base64, written by deploy/build_kernels.ts. */\nexport default ${lines.trim()};\n`;
}

/** Compiles every build into a folder, as WebAssembly and as a module. */
export async function write(folder: URL, bytesOf = compile): Promise<void> {
  await Deno.mkdir(folder, { recursive: true });
  for (const build of Object.keys(builds) as Build[]) {
    const bytes = await bytesOf(build);
    await Deno.writeFile(new URL(`${build}.wasm`, folder), bytes);
    await Deno.writeTextFile(new URL(`${build}.ts`, folder), moduleOf(build, bytes));
    console.log(`${build}.wasm: ${bytes.length} bytes`);
  }
}

if (import.meta.main) await write(new URL("wasm/", here));
