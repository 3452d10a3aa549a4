/**
 * A network of 36 million parameters in 16 bits, CIFAR-10's shape with random weights, in workerd: its
 * Worker reads the folder from an address. Memory, and CPU of a first and of a further picture.
 */
import { writeSafetensors } from "../src/files/safetensors.ts";
import { paramShapes } from "../src/graph/mod.ts";
import { runWorker } from "./edge/cloudflare.ts";
import { networkByName } from "./sample/networks.ts";

const { graph, weights, network } = await networkByName("cifar10");
const tensors = new Map(
  [...paramShapes(graph)].map(([name, shape]) => [name, { shape, data: weights.get(name)! }]),
);
const file = writeSafetensors(tensors, { dtype: "F16" });
const files: Record<string, BodyInit> = {
  "/cifar10/unet/config.json": JSON.stringify(network.json()),
  "/cifar10/unet/diffusion_pytorch_model.safetensors": file,
};
await using server = Deno.serve(
  { hostname: "127.0.0.1", port: 0, onListen: () => {} },
  (request) => {
    const body = files[new URL(request.url).pathname];
    return body ? new Response(body) : new Response(null, { status: 404 });
  },
);
const folder = await Deno.makeTempDir({ prefix: "denoise-large-" });
const mega = (bytes: number) => `${(bytes / 1e6).toFixed(1)} MB`;
console.log(`weights ${mega(file.length)}`);
{
  const address = `http://127.0.0.1:${server.addr.port}/cifar10/`;
  await using worker = await runWorker(new URL(`file://${folder}/dist/`), address);
  const before = await worker.peak();
  for (const steps of [1, 5]) {
    const cpu = await worker.cpu();
    const response = await fetch(new URL(`v1/images/7.png?steps=${steps}`, worker.base));
    const bytes = await response.bytes();
    if (!response.ok) throw new Error(new TextDecoder().decode(bytes));
    console.log(
      `a picture of ${steps} steps: CPU ${(await worker.cpu() - cpu).toFixed(2)} s; WebAssembly ` +
        `${mega(await worker.wasmMemory())}, JavaScript ${
          mega(await worker.heap())
        }; the process ` +
        `${mega(await worker.peak())} at most, ${mega(before)} before`,
    );
  }
}
await Deno.remove(folder, { recursive: true });
