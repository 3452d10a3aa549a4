/** The heroes, told apart by their calling alone: for the classifier of `eval heroes --data …/callings.ts`. */
import { heroesBy, callings } from "./heroes.ts";

export default heroesBy({
  name: "heroes-callings",
  description: "the heroes by their 7 callings",
  classes: callings,
}, ({ calling }) => calling);
