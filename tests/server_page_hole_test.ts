/** The brush that makes the page's hole: which pixels it reaches. */
import { assertEquals } from "@std/assert";
import { brushCentre, Hole, type Point } from "../src/server/page/hole.ts";

/** The pixels that a brush of a size touches at one point, or along a stroke, as rows of text. */
function painted(size: number, from: Point, to: Point = from, hole = new Hole(6, 5)): string {
  hole.stroke(from, to, size, 1);
  return rows(hole);
}

function rows({ missing, width }: Hole): string {
  return [...missing].map((m) => m ? "#" : ".").join("").match(new RegExp(`.{${width}}`, "g"))!
    .join("|");
}

Deno.test("a brush has its middle in a pixel where its size is odd, else between pixels", () => {
  assertEquals([1, 3, 5].map((size) => brushCentre([2.3, 4.9], size)), [
    [2.5, 4.5],
    [2.5, 4.5],
    [2.5, 4.5],
  ]);
  assertEquals([2, 4].map((size) => brushCentre([2.3, 4.9], size)), [[2, 5], [2, 5]]);
});

Deno.test("a brush is round, as wide as its size, and stays in the picture", () => {
  assertEquals(painted(1, [2.9, 1.1]), "......|..#...|......|......|......");
  assertEquals(painted(2, [2.6, 2.4]), "......|..##..|..##..|......|......");
  assertEquals(painted(3, [2.5, 2.5]), "......|.###..|.###..|.###..|......");
  assertEquals(painted(4, [3, 2]), "..##..|.####.|.####.|..##..|......");
  assertEquals(painted(3, [0.5, 0.5]), "##....|##....|......|......|......");
  assertEquals(painted(3, [5.5, 4.5]), "......|......|......|....##|....##");
  assertEquals(painted(1, [-3, 2]), "......|......|......|......|......", "outside");
});

Deno.test("a stroke has no gaps, can be taken back, and its share is told", () => {
  const hole = new Hole(6, 5);
  assertEquals(painted(1, [0.5, 2.5], [5.5, 2.5], hole), "......|......|######|......|......");
  assertEquals(hole.share, 6 / 30);
  assertEquals(painted(1, [0.5, 0.5], [4.5, 4.5]), "#.....|.#....|..#...|...#..|....#.");
  hole.stroke([2.5, 2.5], [3.5, 2.5], 1, 0);
  assertEquals(rows(hole), "......|......|##..##|......|......");
  hole.clear();
  assertEquals(hole.share, 0);
});
