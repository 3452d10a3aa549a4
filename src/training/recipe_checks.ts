/** The kinds of values in a recipe. */

export interface Check {
  accepts(value: unknown): boolean;
  /** For messages and help: "a whole number from 1 to 9". */
  readonly expected: string;
}

const text: Check = {
  accepts: (value) => typeof value === "string" && value !== "",
  expected: "text",
};

const flag: Check = {
  accepts: (value) => typeof value === "boolean",
  expected: "true or false",
};

function number(least: number, most: number): Check {
  return {
    accepts: (value) => typeof value === "number" && value >= least && value <= most,
    expected: `a number from ${least} to ${most}`,
  };
}

function whole(least: number, most: number): Check {
  return {
    accepts: (value) => Number.isInteger(value) && number(least, most).accepts(value),
    expected: `a whole number from ${least} to ${most}`,
  };
}

function choice(...values: readonly (string | number)[]): Check {
  return {
    accepts: (value) => values.includes(value as string),
    expected: `one of ${values.join(", ")}`,
  };
}

function list(item: Check): Check {
  return {
    accepts: (value) => Array.isArray(value) && value.length > 0 && value.every(item.accepts),
    expected: `a list, each ${item.expected}`,
  };
}

function nullable(check: Check): Check {
  return {
    accepts: (value) => value === null || check.accepts(value),
    expected: `${check.expected}, or null`,
  };
}

const side = whole(1, 4096);
const size: Check = {
  accepts: (value) =>
    side.accepts(value) ||
    (Array.isArray(value) && value.length === 2 && value.every(side.accepts)),
  expected: "a whole number, or [height, width]",
};

export const checks = { text, flag, number, whole, choice, list, nullable, size };
