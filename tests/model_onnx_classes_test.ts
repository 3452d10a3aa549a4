/** How many classes an ONNX file knows, read off the table that its labels pick from. */
import { assertEquals } from "@std/assert";
import { classCount } from "../src/weights/read/onnx/classes.ts";
import { create, node, pb } from "./onnx_fixtures.ts";

const table = (name: string, ...dims: number[]) =>
  create(pb.TensorProtoSchema, { name, dims: dims.map(BigInt) });

/** The count that these nodes lead to; "table" has 10 rows of 4 numbers, "wide" 7 of 3. */
function counted(...nodes: pb.NodeProto[]): number | undefined {
  const initializer = [table("wide", 7, 3), table("table", 10, 4)];
  return classCount(create(pb.GraphProtoSchema, { node: nodes, initializer }), "y");
}

Deno.test("labels pick rows of a table, straight away or handed on by what changes no index", () => {
  assertEquals(counted(node("Gather", ["table", "y"], ["z"])), 10);
  const passing = ["Cast", "Clip", "Flatten", "Identity", "Reshape", "Squeeze", "Unsqueeze"];
  for (const op of passing) {
    assertEquals(
      counted(node(op, ["y", "more"], ["a"]), node("Gather", ["table", "a"], ["z"])),
      10,
      op,
    );
  }
  const chain = passing.map((op, i) => node(op, [i === 0 ? "y" : `a${i - 1}`], [`a${i}`]));
  assertEquals(counted(...chain, node("Gather", ["table", "a6"], ["z"])), 10, "all in a row");
});

Deno.test("what other numbers pick, or labels do elsewhere, says nothing of classes", () => {
  const own = node("Gather", ["table", "y"], ["z"]);
  assertEquals(counted(node("Gather", ["wide", "t"], ["p"]), own), 10, "the time's table");
  assertEquals(counted(node("Gather", ["y", "table"], ["z"])), undefined, "out of the labels");
  assertEquals(
    counted(node("Gather", ["computed", "y"], ["z"])),
    undefined,
    "no table in the file",
  );
  assertEquals(
    counted(node("Add", ["y", "one"], ["a"]), node("Gather", ["table", "a"], ["z"])),
    undefined,
    "an index that is changed",
  );
  assertEquals(counted(node("Reshape", ["x", "y"], ["a"])), undefined);
});
