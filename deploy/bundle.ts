/** Bundles for places that take a file, not a module graph; and what lies beside them. */

const root = new URL("../", import.meta.url);

/** The version that the sources import. */
export const ORT = "npm:onnxruntime-web@1.30.0";

/** Bundles a module of this repository, its npm packages included. */
export async function bundle(entry: string, to: URL): Promise<void> {
  const { success, stderr } = await new Deno.Command(Deno.execPath(), {
    args: [
      ...["bundle", "--no-lock", "--platform", "browser", "--minify", "--quiet"],
      ...["-o", decodeURIComponent(to.pathname), decodeURIComponent(new URL(entry, root).pathname)],
    ],
    stdout: "null",
  }).output();
  if (!success) throw new Error(`${entry}: ${new TextDecoder().decode(stderr)}`);
  const [, external] = /(?:^|[;}])import[^;"(]*"(node:[^"]*)"/.exec(await Deno.readTextFile(to)) ??
    [];
  if (external) throw new Error(`${entry}: imports ${external}, which only Deno and Node have`);
}

/** Copies a file of onnxruntime-web out of Deno's npm cache. */
export async function copyEngine(name: string, to: URL): Promise<void> {
  await Deno.copyFile(await engineFile(name), to);
}

/** Where Deno keeps a file of onnxruntime-web. */
export async function engineFile(name: string): Promise<string> {
  const { stdout } = await new Deno.Command(Deno.execPath(), {
    args: ["info", "--json", "--no-config"],
  }).output();
  const { npmCache } = JSON.parse(new TextDecoder().decode(stdout)) as { npmCache: string };
  const version = ORT.split("@")[1];
  for await (const registry of Deno.readDir(npmCache)) {
    const file = `${npmCache}/${registry.name}/onnxruntime-web/${version}/dist/${name}`;
    if (await Deno.stat(file).catch(() => undefined)) return file;
  }
  throw new Error(`${name}: not in ${npmCache}; run "deno cache ${ORT}" first`);
}

/** A folder's files by their paths in it, documentation left out. */
export async function filesIn(folder: URL, prefix = ""): Promise<Record<string, URL>> {
  const files: Record<string, URL> = {};
  for await (const { name, isDirectory } of Deno.readDir(folder)) {
    const url = new URL(isDirectory ? `${name}/` : name, folder);
    if (isDirectory) Object.assign(files, await filesIn(url, `${prefix}${name}/`));
    else if (/\.(json|safetensors)$/.test(name)) files[`${prefix}${name}`] = url;
  }
  return files;
}

/** An empty folder of that name. */
export async function emptyFolder(folder: URL): Promise<void> {
  await Deno.remove(folder, { recursive: true }).catch(() => {});
  await Deno.mkdir(folder, { recursive: true });
}
