/** The heroes, told apart by their people alone: for the classifier of `eval heroes --data …/peoples.ts`. */
import { heroesBy, peoples } from "./heroes.ts";

export default heroesBy({
  name: "heroes-peoples",
  description: "the heroes by their 18 peoples",
  classes: peoples,
}, ({ people }) => people);
