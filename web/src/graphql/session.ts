/** Gives a bearer token for the person who is signed in at the host page. It is asked again when the last one is over. */
export type TokenSource = () => Promise<string> | string

/** The host page gives no token any more: the person is signed out there. */
export class SignedOut extends Error {
  constructor(cause?: unknown) {
    super("The host page gave no token.", { cause })
  }
}

/** Whom a token is for, if it can be told: who issued it, the subject, and their clinic, which they may have several of. */
function personOf(token: string): string | undefined {
  try {
    const payload = token.split(".")[1] ?? ""
    const {
      iss,
      sub,
      corridor_clinic: clinic,
    } = JSON.parse(atob(payload.replaceAll("-", "+").replaceAll("_", "/"))) as Record<string, unknown>
    return typeof sub === "string" ? JSON.stringify([iss, sub, clinic]) : undefined
  } catch {
    return undefined
  }
}

/** Whether something failed because nobody is signed in: there is no token, or the server refuses even a fresh one. */
export function isSignedOut(reason: unknown): boolean {
  return (
    reason instanceof SignedOut ||
    (typeof reason === "object" && reason !== null && "statusCode" in reason && reason.statusCode === 401)
  )
}

/**
 * Session speaks to the server as the person. The token is held in memory, here and nowhere else, and
 * replaced by a fresh one when the server refuses it.
 */
export class Session {
  #source: TokenSource
  readonly #onAnother: () => void
  #token: Promise<string> | undefined
  #person: string | undefined
  #isKnown = false

  constructor(
    /** Where the API is, such as https://chat.example.org/graphql. */
    readonly endpoint: URL,
    source: TokenSource,
    /** The host page has given a token of another person: this session has nothing to do with them. */
    onAnother: () => void = () => undefined,
  ) {
    this.#source = source
    this.#onAnother = onAnother
  }

  /** The token, from the host page if there is none yet. Throws SignedOut. */
  token(): Promise<string> {
    this.#token ??= Promise.resolve()
      .then(() => this.#source())
      .then(
        (token) => {
          if (typeof token !== "string" || token === "") throw new SignedOut()
          const person = personOf(token)
          if (this.#isKnown && person !== this.#person) {
            this.#onAnother()
            throw new SignedOut()
          }
          this.#isKnown = true
          this.#person = person
          return token
        },
        (reason: unknown) => {
          console.warn("corridor-chat: the page's token function failed.", reason)
          throw new SignedOut(reason)
        },
      )
      .catch((reason: unknown) => {
        this.#token = undefined // the next one who needs it asks again
        throw reason
      })
    return this.#token
  }

  /** Takes tokens from another function of the host page, which may be for the same person or not. */
  replaceSource(source: TokenSource) {
    this.#source = source
    this.renew()
    this.token().then(
      () => this.#person === undefined && this.#onAnother(), // who that is can't be told
      () => this.#onAnother(),
    )
  }

  /** Forgets the token, which is over, unless there is another one by now. */
  renew(over = this.#token) {
    if (this.#token === over) this.#token = undefined
  }

  /** Fetches an address of the server with the token, with a fresh one if the server refuses it. */
  readonly fetch: typeof fetch = async (input, init) => {
    let used: Promise<string> | undefined
    const once = async () => {
      const headers = new Headers(init?.headers)
      used = this.token()
      headers.set("Authorization", `Bearer ${await used}`)
      return fetch(input, { ...init, headers, credentials: "omit", referrerPolicy: "no-referrer" })
    }
    const response = await once()
    if (response.status !== 401) return response
    this.renew(used)
    return once()
  }

  /** The full address of a path of the server, as `File.download.url` is one. */
  address(path: string): string {
    return new URL(path, this.endpoint).href
  }
}
