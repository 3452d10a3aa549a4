/** ONNX files in several parts, and at addresses. */
import { assertEquals, assertRejects } from "@std/assert";
import { InputError } from "../src/errors.ts";
import { filesAt } from "../src/weights/files.ts";
import { sha256Hex } from "../src/files/hash.ts";
import { load } from "../src/model/load.ts";
import { locate } from "../src/weights/find/locate.ts";
import { readOnnx } from "../src/model/onnx/mod.ts";
import { ramp } from "./backend_models.ts";
import { temporaryFolder } from "./cli.ts";
import { serve, withEnvironment } from "./hub.ts";
import { create, edited, onnxFiles, pb, tinyOnnx } from "./onnx_fixtures.ts";

function split(entries: Record<string, string>): [Uint8Array, Uint8Array] {
  let moved = new Uint8Array();
  const file = edited(tinyOnnx(), ({ graph }) => {
    const [tensor] = graph!.initializer;
    moved = tensor.rawData;
    tensor.rawData = new Uint8Array();
    tensor.dataLocation = pb.TensorProto_DataLocation.EXTERNAL;
    tensor.externalData = Object.entries(entries).map(([key, value]) =>
      create(pb.StringStringEntryProtoSchema, { key, value })
    );
  });
  return [file, Uint8Array.of(1, 2, 3, 4, ...moved)];
}

Deno.test("tensors in a file beside it are taken in; a missing, short or distant file is refused", async () => {
  const [file, data] = split({ location: "net.onnx.data", offset: "4" });
  await using model = await load(onnxFiles(file, { "net.onnx.data": data }), { backend: "native" });
  await using whole = await load(onnxFiles(tinyOnnx()), { backend: "native" });
  const feeds = [ramp(16), Float32Array.of(3), Int32Array.of(1)] as const;
  assertEquals(await model.predict(...feeds), await whole.predict(...feeds));

  await assertRejects(
    () => readOnnx(onnxFiles(file)),
    InputError,
    "lies in net.onnx.data, found none",
  );
  const short = onnxFiles(file, { "net.onnx.data": data.slice(0, -1) });
  await assertRejects(() => readOnnx(short), InputError, "elements, found");
  const [beyond] = split({ location: "w", offset: "4", length: "4000" });
  await assertRejects(
    () => readOnnx(onnxFiles(beyond, { w: data })),
    InputError,
    "bytes 4 to 4004",
  );
  for (const location of ["../w", "/etc/passwd", ""]) {
    const [away] = split({ location });
    await assertRejects(
      () => readOnnx(onnxFiles(away)),
      InputError,
      "the name of a file beside it",
    );
  }
});

Deno.test("a file of a hub's repository is named behind it, and #sha256= is checked", async () => {
  await using cache = await temporaryFolder();
  const onnx = await Deno.readFile(
    new URL("./golden/onnx/class_conditional.onnx", import.meta.url),
  );
  await using server = serve((path) => {
    if (path === "/owner/name/resolve/v1/unet/model.onnx") return new Response(onnx);
    const isConfig = path === "/owner/name/resolve/v1/unet/scheduler_config.json";
    return isConfig
      ? new Response('{"num_train_timesteps": 50}')
      : new Response("no", { status: 404 });
  });
  const environment = { DENOISE_CACHE: cache.path, HF_ENDPOINT: server.origin };
  await withEnvironment(environment, async () => {
    const place = "hf:owner/name/unet/model.onnx@v1";
    const file = await readOnnx(await locate(`${place}#sha256=${await sha256Hex(onnx)}`));
    assertEquals([file.classes, file.scheduler?.num_train_timesteps], [5, 50]);
    const other = "0".repeat(64);
    await assertRejects(
      () => locate(`${place}#sha256=${other}`),
      InputError,
      "expected SHA-256 000",
    );
  });
});

Deno.test("a server that forbids the scheduler's config has none; tensors it forbids are an error", async () => {
  await using cache = await temporaryFolder();
  await withEnvironment({ DENOISE_CACHE: cache.path }, async () => {
    const [large] = split({ location: "data" });
    const files: Record<string, Uint8Array> = { "/small.onnx": tinyOnnx(), "/large.onnx": large };
    let status = 403;
    let place: string;
    {
      await using server = serve((path) =>
        path in files
          ? new Response(files[path].slice())
          : new Response("<Code>AccessDenied</Code>", { status })
      );
      place = `${server.origin}/small.onnx`;
      const folder = { ...filesAt(new URL(server.origin)), file: "small.onnx" };
      for (status of [403, 404, 410]) {
        assertEquals((await readOnnx(await locate(place))).scheduler, undefined);
        assertEquals((await readOnnx(folder)).scheduler, undefined);
      }
      for (status of [401, 500]) {
        await assertRejects(() => readOnnx(folder), InputError, `answered ${status}`);
      }
      status = 403;
      const other = await locate(`${server.origin}/large.onnx`);
      await assertRejects(() => readOnnx(other), InputError, "/data: expected the file");
    }
    // What was read is kept, that there was nothing too: no network is needed.
    assertEquals((await readOnnx(await locate(place))).scheduler, undefined);
  });
});

Deno.test("a file of many tensors is read once", async () => {
  const data: number[] = [];
  const file = edited(tinyOnnx(), ({ graph }) => {
    for (const tensor of graph!.initializer) {
      const offset = String(data.length);
      data.push(...tensor.rawData);
      tensor.externalData = Object.entries({
        location: "w",
        offset,
        length: String(tensor.rawData.length),
      })
        .map(([key, value]) => create(pb.StringStringEntryProtoSchema, { key, value }));
      tensor.rawData = new Uint8Array();
      tensor.dataLocation = pb.TensorProto_DataLocation.EXTERNAL;
    }
  });
  const files = onnxFiles(file, { w: Uint8Array.from(data) });
  const read: string[] = [];
  await readOnnx({
    ...files,
    read(path, optional) {
      read.push(path);
      return files.read(path, optional);
    },
  });
  assertEquals(read.filter((path) => path === "w"), ["w"]);
});
