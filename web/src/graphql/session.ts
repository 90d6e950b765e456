/** Gives a bearer token for the person who is signed in at the host page. It is asked again when the last one is over. */
export type TokenSource = () => Promise<string> | string

/** The host page gives no token any more: the person is signed out there. */
export class SignedOut extends Error {
  constructor(cause?: unknown) {
    super("The host page gave no token.", { cause })
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
  readonly #source: TokenSource
  #token: Promise<string> | undefined

  constructor(
    /** Where the API is, such as https://chat.example.org/graphql. */
    readonly endpoint: URL,
    source: TokenSource,
  ) {
    this.#source = source
  }

  /** The token, from the host page if there is none yet. Throws SignedOut. */
  token(): Promise<string> {
    this.#token ??= Promise.resolve()
      .then(() => this.#source())
      .then(
        (token) => {
          if (typeof token !== "string" || token === "") throw new SignedOut()
          return token
        },
        (reason: unknown) => {
          throw new SignedOut(reason)
        },
      )
      .catch((reason: unknown) => {
        this.#token = undefined // the next one who needs it asks again
        throw reason
      })
    return this.#token
  }

  /** Forgets the token, which is over. */
  renew() {
    this.#token = undefined
  }

  /** Fetches an address of the server with the token, with a fresh one if the server refuses it. */
  readonly fetch: typeof fetch = async (input, init) => {
    const once = async () => {
      const headers = new Headers(init?.headers)
      headers.set("Authorization", `Bearer ${await this.token()}`)
      return fetch(input, { ...init, headers, credentials: "omit", referrerPolicy: "no-referrer" })
    }
    const response = await once()
    if (response.status !== 401) return response
    this.renew()
    return once()
  }

  /** The full address of a path of the server, as `File.download.url` is one. */
  address(path: string): string {
    return new URL(path, this.endpoint).href
  }
}
