import type { ApolloClient } from "@apollo/client"
import { useApolloClient } from "@apollo/client/react"
import { useCallback } from "react"
import { useSession } from "../../graphql/context"
import { graphql } from "../../graphql/generated"
import { type Session, SignedOut } from "../../graphql/session"
import { safeType } from "./kinds"
import { said } from "./uploads"

const FileLinks = graphql(`
  query FileLinks($id: ID!) {
    node(id: $id) {
      ... on File {
        id
        mediaType
        download {
          url
        }
        thumbnail {
          url
        }
      }
    }
  }
`)

/** What comes down: the file, or the small picture of it. */
export type Part = "download" | "thumbnail"

export interface FetchOptions {
  signal: AbortSignal
  /** Hears how much is there, 0 to 1. */
  onProgress?: (part: number) => void
}

/** Why there are no bytes, for a person, and whether trying again may help. */
export class Unavailable extends Error {
  readonly isFinal: boolean

  constructor(message: string, isFinal: boolean) {
    super(message)
    this.isFinal = isFinal
  }
}

const gone = "This file is no longer available."
const unreachable = "The server can't be reached. Try again."

/** How many times in a row nothing may come before it is given up. */
const patience = 4

/** Fetches files with the person's token. */
export function useFetchFile() {
  const client = useApolloClient()
  const session = useSession()
  return useCallback(
    (id: string, part: Part, options: FetchOptions) => fetchFile(client, session, id, part, options),
    [client, session],
  )
}

/**
 * Fetches a file, or the small picture of it. Its addresses are good for a minute, and only as long as the person may
 * see it, so a fresh one is asked for right before. What is cut goes on where it was.
 */
async function fetchFile(
  client: ApolloClient,
  session: Session,
  id: string,
  part: Part,
  options: FetchOptions,
): Promise<Blob> {
  const { signal, onProgress } = options
  let pieces: BlobPart[] = []
  let received = 0
  let tag: string | null = null
  for (let failures = 0; ;) {
    const before = received
    try {
      const { data } = await client.query({ query: FileLinks, variables: { id }, fetchPolicy: "no-cache" })
      signal.throwIfAborted()
      const file = data?.node?.__typename === "File" ? data.node : undefined
      const url = file?.[part]?.url
      if (!file || !url) throw new Unavailable(gone, true)
      const response: Response = await session.fetch(session.address(url), {
        signal,
        ...(tag && received > 0 && { headers: { Range: `bytes=${received}-`, "If-Range": tag } }),
      })
      if (!response.ok || !response.body) throw await refusal(response)
      if (response.status !== 206) {
        pieces = []
        received = 0
      }
      tag = response.headers.get("ETag")
      const whole = received + Number(response.headers.get("Content-Length"))
      for (const reader = response.body.getReader(); ;) {
        const { done, value } = await reader.read()
        if (done) break
        pieces.push(value)
        received += value.length
        if (whole > 0) onProgress?.(Math.min(1, received / whole))
      }
      const type = part === "thumbnail" ? (response.headers.get("Content-Type") ?? "") : file.mediaType
      return new Blob(pieces, { type: safeType(type) })
    } catch (error) {
      signal.throwIfAborted()
      if (error instanceof SignedOut) throw new Unavailable("You are signed out.", true)
      if (error instanceof Unavailable && error.isFinal) throw error
      if (received > before) failures = 0
      if (++failures === patience) throw error instanceof Unavailable ? error : new Unavailable(unreachable, false)
      await pause(500 * 2 ** failures, signal)
    }
  }
}

async function refusal(response: Response) {
  const { message, code } = said(await response.text())
  switch (code) {
    case "NOT_FOUND":
      return new Unavailable(gone, true)
    case "LINK_EXPIRED":
      return new Unavailable(unreachable, false)
  }
  return new Unavailable(message ?? unreachable, Boolean(message) && response.status < 500)
}

function pause(time: number, signal: AbortSignal) {
  return new Promise<void>((resolve) => {
    const end = () => {
      clearTimeout(timer)
      signal.removeEventListener("abort", end)
      window.removeEventListener("online", end)
      resolve()
    }
    const timer = setTimeout(end, time)
    signal.addEventListener("abort", end)
    window.addEventListener("online", end)
  })
}

/** Has the browser save a file. */
export function save(file: Blob, name: string) {
  const address = URL.createObjectURL(new Blob([file], { type: "application/octet-stream" }))
  const link = document.createElement("a")
  link.href = address
  link.download = name
  link.click()
  setTimeout(() => URL.revokeObjectURL(address), 60_000) // when the browser has surely begun
}
