/**
 * One executable with everything that is imported by name: `deno run -A deploy/compile.ts [FILE]`.
 * The native engine (288 MB) is left out unless `--native` is given. Arguments after `--` go to
 * `deno compile`, such as `--target x86_64-pc-windows-msvc`.
 */
import { builtInWeights } from "../src/weights/find/locate.ts";

const root = new URL("../", import.meta.url);

/** The modules that no static import leads to, and the weights. */
export async function includes(native: boolean): Promise<string[]> {
  const found: string[] = Object.values(builtInWeights)
    .map(({ href }) => href.slice(root.href.length).replace(/\/$/, ""));
  for (const folder of ["src", "schedulers"]) {
    for await (const path of modules(folder)) {
      if (native || !path.startsWith("src/backends/onnxruntime/native")) found.push(path);
    }
  }
  return found.sort();
}

async function* modules(folder: string): AsyncGenerator<string> {
  for await (const { name, isDirectory } of Deno.readDir(new URL(`${folder}/`, root))) {
    // Sources in another language; what they compile to is a module.
    if (isDirectory && name === "kernels") continue;
    if (isDirectory) yield* modules(`${folder}/${name}`);
    else if (name.endsWith(".ts")) yield `${folder}/${name}`;
  }
}

/** What was asked for: the file, whether with the native engine, and the arguments of `deno compile`. */
export function asked(args: readonly string[]) {
  const at = args.indexOf("--");
  const own = at < 0 ? args : args.slice(0, at);
  return {
    output: own.find((arg) => !arg.startsWith("-")) ?? "denoise",
    native: own.includes("--native"),
    rest: at < 0 ? [] : args.slice(at + 1),
  };
}

/** The command of Deno, in the repository's root, that makes it. */
export async function command(args: readonly string[]): Promise<string[]> {
  const { output, native, rest } = asked(args);
  const paths = await includes(native);
  return [
    ...["compile", "-A", "--output", output],
    ...paths.flatMap((path) => ["--include", path]),
    ...rest,
    "mod.ts",
  ];
}

if (import.meta.main) {
  const args = await command(Deno.args);
  const { code } = await new Deno.Command(Deno.execPath(), { args, cwd: root }).spawn().status;
  Deno.exit(code);
}
