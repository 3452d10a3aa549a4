import { assertEquals, assertRejects } from "@std/assert";
import { InputError } from "../src/errors.ts";
import { writeNpz } from "../src/image/npz.ts";
import { readNpzTensors, writeNpzTensors } from "../src/model/npz_tensors.ts";
import { parseSafetensors, writeSafetensors } from "../src/model/safetensors.ts";
import { readGolden } from "./golden.ts";

Deno.test("a network's tensors survive safetensors → npz → safetensors byte for byte", async () => {
  const { bytes } = await readGolden("digits/unet/diffusion_pytorch_model.safetensors");
  const { tensors, metadata } = parseSafetensors(bytes);
  const back = await readNpzTensors(await writeNpzTensors(tensors), "w.npz");
  assertEquals([...back.keys()], [...tensors.keys()]);
  assertEquals(writeSafetensors(back, { metadata }), bytes);
});

Deno.test("doubles are rounded to float32; whole numbers are refused by name", async () => {
  const doubles = await writeNpz(new Map([["w", { shape: [1], data: Float64Array.of(0.1) }]]));
  const { data } = (await readNpzTensors(doubles, "w.npz")).get("w")!;
  assertEquals(data, Float32Array.of(0.1));
  const whole = await writeNpz(new Map([["n", { shape: [1], data: Int32Array.of(1) }]]));
  await assertRejects(() => readNpzTensors(whole, "w.npz"), InputError, 'w.npz: tensor "n"');
});
