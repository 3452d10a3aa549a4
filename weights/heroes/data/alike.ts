/**
 * The heroes, those more often whose people few pixels tell: what students are taught by. A student
 * learns its teacher's answers, so what is drawn more often is learned more exactly, and not drawn more
 * often by the student.
 */
import heroes, { heroesBy, peoples } from "./heroes.ts";

/** Under their calling's clothes they differ in the colour of a face and two hands. */
const alike = ["human", "orc", "kobold", "mummy", "ghoul"];

export default heroesBy(
  {
    name: "heroes-alike",
    description: "the heroes, three times as many of the peoples that look alike",
    classes: heroes.classes,
  },
  ({ label }) => label,
  [...peoples, ...alike, ...alike],
);
