/** Failures with an HTTP answer, written as problem+json (RFC 9457). */
import { HTTPException } from "npm:hono@4.13.19/http-exception";
import { FieldError, InputError } from "../errors.ts";

/** Why a request failed; the label of `denoise_failures_total` and the end of the problem's type. */
export type Reason =
  | "invalid"
  | "malformed"
  | "too_large"
  | "media_type"
  | "slow_body"
  | "not_found"
  | "method"
  | "unauthorized"
  | "rate_limited"
  | "overloaded"
  | "draining"
  | "deadline"
  | "disconnected"
  | "network"
  | "internal";

/** One field that does not fit the schema. */
export interface WrongField {
  readonly field: string;
  readonly expected: string;
  readonly found: unknown;
}

const titles: Record<Reason, string> = {
  invalid: "A parameter does not fit",
  malformed: "The request cannot be read",
  too_large: "The body is too large",
  media_type: "The body's media type is not supported",
  slow_body: "The body took too long to arrive",
  not_found: "There is nothing at this address",
  method: "This address has other methods",
  unauthorized: "The request is not allowed",
  rate_limited: "Too many evaluations asked for",
  overloaded: "The server is full",
  draining: "The server is shutting down",
  deadline: "The picture was not finished in time",
  disconnected: "The client left",
  network: "The network failed",
  internal: "The server failed",
};

/** Every reason there is. */
export const reasons = Object.keys(titles) as Reason[];

export interface ProblemOptions {
  readonly errors?: readonly WrongField[];
  readonly retryAfter?: number;
  readonly headers?: Readonly<Record<string, string>>;
  readonly cause?: unknown;
}

/** Thrown anywhere while a request is handled; the app answers with it. */
export class Problem extends Error {
  override readonly name = "Problem";
  readonly errors?: readonly WrongField[];
  readonly headers: Record<string, string>;

  constructor(
    readonly status: number,
    readonly reason: Reason,
    detail: string,
    { errors, retryAfter, headers, cause }: ProblemOptions = {},
  ) {
    super(detail, { cause });
    this.errors = errors;
    this.headers = { ...headers };
    if (retryAfter !== undefined) {
      this.headers["retry-after"] = String(Math.max(1, Math.ceil(retryAfter)));
    }
  }

  /** The members of the problem document; `error` repeats it in the words of OpenAI's clients. */
  document(requestId?: string): Record<string, unknown> {
    return {
      type: `urn:denoise:problem:${this.reason}`,
      title: titles[this.reason],
      status: this.status,
      detail: this.message,
      ...(requestId ? { instance: `urn:request:${requestId}` } : {}),
      ...(this.errors ? { errors: this.errors } : {}),
      error: {
        message: this.message,
        type: this.status < 500 ? "invalid_request_error" : "server_error",
        param: this.errors?.[0]?.field ?? null,
        code: this.reason,
      },
    };
  }

  response(requestId?: string): Response {
    return new Response(JSON.stringify(this.document(requestId)), {
      status: this.status,
      headers: {
        "content-type": "application/problem+json",
        "cache-control": "no-store",
        ...this.headers,
      },
    });
  }
}

/** Characters of a request that an answer repeats at most. */
const MAX_EXCERPT = 80;
/** Names that an answer lists at most. */
const MAX_LISTED = 32;

/** The beginning of a stranger's text: an answer must not be larger than its question. */
export function excerpt(text: string, most = MAX_EXCERPT): string {
  return text.length > most ? `${text.slice(0, most).toWellFormed()}…` : text.toWellFormed();
}

/** Names for an answer, the first of them where there are many. */
export function listed(names: readonly string[]): string {
  const shown = names.slice(0, MAX_LISTED).map((name) => excerpt(name)).join(", ");
  return names.length > MAX_LISTED ? `${shown} … (${names.length} in all)` : shown;
}

/** What was found, short enough to be repeated. */
export function found(value: unknown): unknown {
  if (value === undefined) return null;
  if (typeof value === "string") return excerpt(value);
  if (typeof value !== "object" || value === null) return value;
  return Array.isArray(value) ? "a list" : "an object";
}

/** A 422 that names one field, what was expected of it and what was found. */
export function invalid(field: string, expected: string, value: unknown): Problem {
  const errors = [{ field: excerpt(field), expected, found: found(value) }];
  return new Problem(422, "invalid", sentence(errors[0], value === undefined), { errors });
}

/** A field's error in a sentence. */
export function sentence({ field, expected, found }: WrongField, absent = false): string {
  return `${field}: expected ${expected}, found ${absent ? "nothing" : JSON.stringify(found)}`;
}

/**
 * What `work` gives; what it refuses is the client's fault. For work that has seen nothing but what a
 * client chose: elsewhere an InputError may speak of the operator's files.
 * @throws Problem 422 for an InputError
 */
export function refusing<T>(work: () => T): T {
  try {
    return work();
  } catch (error) {
    throw refusal(error);
  }
}

/** An InputError as a 422; what else was thrown as it is. */
export function refusal(error: unknown): unknown {
  if (error instanceof FieldError) {
    return invalid(error.field.replace(/^options\./, ""), error.expected, error.found);
  }
  return error instanceof InputError
    ? new Problem(422, "invalid", excerpt(error.message, 500))
    : error;
}

/** What was thrown, as a problem. Of an unforeseen error strangers learn nothing; the log has its cause. */
export function asProblem(error: unknown): Problem {
  if (error instanceof Problem) return error;
  if (error instanceof HTTPException) return new Problem(error.status, "invalid", error.message);
  if (error instanceof DOMException && error.name === "AbortError") {
    return new Problem(499, "disconnected", "the client left");
  }
  return new Problem(500, "internal", "an error that was not foreseen; the log has it", {
    cause: error,
  });
}
