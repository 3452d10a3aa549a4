/** From whatever was thrown to a problem. */
import { HTTPException } from "npm:hono@4.13.19/http-exception";
import { InputError } from "../../errors.ts";
import { Problem } from "./problem.ts";

/** Nothing of an unexpected error is told to strangers; its cause is for the log. */
export function asProblem(error: unknown): Problem {
  if (error instanceof Problem) return error;
  if (error instanceof InputError) return new Problem(422, "invalid", error.message);
  if (error instanceof HTTPException) return new Problem(error.status, "invalid", error.message);
  if (error instanceof DOMException && error.name === "AbortError") {
    return new Problem(499, "disconnected", "the client left");
  }
  return new Problem(500, "internal", "an error that was not foreseen; the log has it", {
    cause: error,
  });
}
