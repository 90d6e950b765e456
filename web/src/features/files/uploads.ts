import type { ApolloClient } from "@apollo/client"
import { CombinedGraphQLErrors } from "@apollo/client/errors"
import { createContext, use, useMemo, useSyncExternalStore } from "react"
import type { DetailedError } from "tus-js-client"
import { clientKey } from "../../graphql/clientKey"
import { graphql, readFragment } from "../../graphql/generated"
import type { UploadFileFragment } from "../../graphql/generated/graphql"
import { type Session, SignedOut } from "../../graphql/session"
import { isPicture, sizeInWords } from "./kinds"

const UploadLimits = graphql(`
  query UploadLimits {
    viewer {
      clinic {
        fileSizeLimit
      }
    }
  }
`)

const UploadFile = graphql(`
  fragment UploadFile on File {
    id
    state
    refusal {
      code
      message
    }
    upload {
      url
    }
  }
`)

const CreateUpload = graphql(`
  mutation CreateUpload($input: CreateUploadInput!) {
    createUpload(input: $input) {
      file {
        ...UploadFile
      }
      userErrors {
        code
        message
      }
    }
  }
`)

const UploadAddress = graphql(`
  query UploadAddress($id: ID!) {
    node(id: $id) {
      ...UploadFile
    }
  }
`)

/** How far a file has come that waits to be sent. */
export type UploadState = "announcing" | "uploading" | "checking" | "ready" | "refused" | "interrupted"

/** A file that waits to be sent. */
export interface Upload {
  key: string
  name: string
  size: number
  state: UploadState
  /** How much of it the server has, 0 to 1. */
  progress: number
  /** Why it was refused or waits, for a person. */
  reason?: string | undefined
  /** Whether trying again may help. */
  canRetry: boolean
  /** Its id at the server, once it is ready. */
  fileId?: string
  /** An address to show it by, if it is a picture. */
  preview?: string | undefined
}

/** The files of one conversation that wait to be sent. */
export interface Waiting {
  files: readonly Upload[]
  /** What the person should know about files that were not taken. */
  note: string
}

const nothing: Waiting = { files: [], note: "" }

/** How many files a message may have, as `sendMessage` says. */
const most = 10

/** How many files bring their bytes at a time. */
const atOnce = 2

/** How much is sent in one request, in bytes. */
const piece = 2 << 20

/** How long nothing may move, in milliseconds, before the connection counts as dead. */
const silence = 45_000

/** How long the server may look at a whole file, in milliseconds. */
const examination = 150_000

/** How often progress is shown, in milliseconds. */
const tick = 100

/** What is on its way, beside what is shown of it. */
interface Work {
  readonly key: string
  readonly conversationId: string
  readonly file: File
  /** Under this key the server announces it once, however often it is asked (E36). */
  clientKey: string
  fileId?: string | undefined
  /** Where its bytes go, as long as that is good. */
  address?: string | undefined
  stop: AbortController
  /** Ends the pause that it is in. */
  hurry?: (() => void) | undefined
  /** How many bytes have come so far. */
  sent: number
}

export interface UploadsOptions {
  client: ApolloClient
  session: Session
}

/**
 * Uploads brings the files that a person attaches to the server, and holds them until their message is sent. What
 * breaks on the way goes on by itself where it was, as long as the page lives; nothing of it is kept in the browser.
 */
export class Uploads {
  readonly #client: ApolloClient
  readonly #session: Session
  readonly #listeners = new Set<() => void>()
  readonly #waiting = new Map<string, Waiting>()
  readonly #work = new Map<string, Work>()
  readonly #moved = new Set<Work>()
  #timer: ReturnType<typeof setTimeout> | undefined
  #slots = atOnce
  readonly #queue: (() => void)[] = []

  constructor({ client, session }: UploadsOptions) {
    this.#client = client
    this.#session = session
    window.addEventListener("online", this.#hurry)
    window.addEventListener("beforeunload", this.#warn)
  }

  close() {
    window.removeEventListener("online", this.#hurry)
    window.removeEventListener("beforeunload", this.#warn)
    clearTimeout(this.#timer)
    for (const work of this.#work.values()) work.stop.abort()
    for (const { files } of this.#waiting.values()) files.forEach(revoke)
    this.#work.clear()
    this.#waiting.clear()
  }

  readonly subscribe = (listener: () => void) => {
    this.#listeners.add(listener)
    return () => this.#listeners.delete(listener)
  }

  /** What waits to be sent to a conversation; another object after each change. */
  of(conversationId: string): Waiting {
    return this.#waiting.get(conversationId) ?? nothing
  }

  /** Attaches files, as many as the next message has room for. */
  add(conversationId: string, files: Iterable<File>) {
    const all = [...files]
    const { files: before } = this.of(conversationId)
    const room = most - before.filter((upload) => upload.state !== "refused").length
    const taken = all.slice(0, Math.max(0, room))
    const left = all.length - taken.length
    const works = taken.map((file) => this.#newWork(conversationId, file))
    this.#set(conversationId, {
      files: [...before, ...works.map(shown)],
      note: left > 0 ? `A message has at most ${most} files: ${left === 1 ? "1 was" : `${left} were`} left out.` : "",
    })
    for (const work of works) void this.#carry(work)
  }

  /** Takes a file away, and gives it up at the server. */
  remove(conversationId: string, key: string) {
    const work = this.#work.get(key)
    const { files } = this.of(conversationId)
    files.filter((upload) => upload.key === key).forEach(revoke)
    this.#work.delete(key)
    this.#set(conversationId, { files: files.filter((upload) => upload.key !== key), note: "" })
    work?.stop.abort()
    if (work?.fileId) void this.discard([work.fileId])
  }

  /** Takes all files of a conversation away: nothing can be sent to it any more. */
  drop(conversationId: string) {
    for (const { key } of this.of(conversationId).files) this.remove(conversationId, key)
  }

  /** Tries again: at once what waits to, and as something new what was refused. */
  retry(conversationId: string, key: string) {
    const work = this.#work.get(key)
    const upload = this.of(conversationId).files.find((upload) => upload.key === key)
    if (!work || !upload) return
    if (upload.state === "interrupted") work.hurry?.()
    if (upload.state !== "refused") return
    work.clientKey = clientKey()
    work.fileId = undefined
    work.address = undefined
    work.sent = 0
    this.#update(work, { state: "announcing", progress: 0, reason: undefined })
    void this.#carry(work)
  }

  /** Hands over the files that are ready, for a message; they do not wait any more. */
  take(conversationId: string): { id: string; name: string }[] {
    const { files } = this.of(conversationId)
    const ready = files.filter((upload) => upload.state === "ready")
    ready.forEach(revoke)
    for (const { key } of ready) this.#work.delete(key)
    this.#set(conversationId, { files: files.filter((upload) => !ready.includes(upload)), note: "" })
    return ready.flatMap(({ fileId, name }) => (fileId ? [{ id: fileId, name }] : []))
  }

  /** Gives up files that were not sent. What fails here is swept away by the server within a day. */
  async discard(fileIds: string[]) {
    for (const id of fileIds) {
      try {
        const address = (await this.#look(id))?.upload?.url
        if (!address) continue
        await this.#session.fetch(this.#session.address(address), {
          method: "DELETE",
          headers: { "Tus-Resumable": "1.0.0" },
        })
      } catch {
        // nobody waits for it
      }
    }
  }

  #newWork(conversationId: string, file: File): Work {
    const work: Work = {
      key: clientKey(),
      conversationId,
      file,
      clientKey: clientKey(),
      stop: new AbortController(),
      sent: 0,
    }
    this.#work.set(work.key, work)
    return work
  }

  /** Brings a file to its end: ready, or refused. Whatever else happens is tried again. */
  async #carry(work: Work) {
    const { signal } = work.stop
    let before = 0
    for (let failures = 0; !signal.aborted;) {
      try {
        await this.#check(work.file)
        const address = await this.#locate(work)
        if (signal.aborted) {
          if (work.fileId) void this.discard([work.fileId]) // it was taken away while it was announced
          return
        }
        if (address) await this.#bring(work, address)
        if (signal.aborted) return
        this.#update(work, { state: "ready", progress: 1, reason: undefined, fileId: work.fileId ?? "" })
        return
      } catch (error) {
        if (signal.aborted) return
        const setback = asSetback(error)
        if (setback.isFinal) {
          this.#update(work, { state: "refused", reason: setback.message, canRetry: setback.canRetry })
          return
        }
        if (work.sent > before) failures = 0
        before = work.sent
        if (failures++ === 0 && setback.isImmediate) continue
        this.#update(work, { state: "interrupted", reason: setback.message })
        await this.#pause(work, Math.min(15_000, 500 * 2 ** failures))
        if (!signal.aborted) this.#update(work, { state: "announcing", reason: undefined })
      }
    }
  }

  /** Refuses what can be refused without the server. */
  async #check(file: File) {
    if (file.size === 0) throw new Setback("The file is empty.", { isFinal: true, canRetry: false })
    const { data } = await this.#client.query({ query: UploadLimits, fetchPolicy: "cache-first" })
    const limit = data?.viewer.clinic.fileSizeLimit
    if (limit !== undefined && file.size > limit) {
      throw new Setback(`The file is too large: ${sizeInWords(limit)} at most.`, { isFinal: true, canRetry: false })
    }
    if (!(await isReadable(file))) throw unreadable()
  }

  /** Where the bytes go, announced if it is not yet. Nothing if the server has them all. */
  async #locate(work: Work): Promise<string | undefined> {
    if (work.address) return work.address
    const found = work.fileId ? await this.#look(work.fileId) : await this.#announce(work)
    if (!found) throw new Setback("The server does not have this file any more.", { isFinal: true, canRetry: true })
    work.fileId = found.id
    if (found.state === "REFUSED") throw refusal(found.refusal?.message, found.refusal?.code)
    if (found.state === "READY") return undefined
    work.address = found.upload?.url
    return work.address
  }

  async #announce({ clientKey, file: { name, size, type } }: Work): Promise<UploadFileFragment | null | undefined> {
    const { data } = await this.#client.mutate({
      mutation: CreateUpload,
      variables: { input: { clientKey, name, size, mediaType: type } },
      fetchPolicy: "no-cache",
    })
    const error = data?.createUpload.userErrors[0]
    if (error) throw refusal(error.message, error.code)
    return readFragment(UploadFile, data?.createUpload.file)
  }

  async #look(id: string): Promise<UploadFileFragment | null | undefined> {
    const { data } = await this.#client.query({ query: UploadAddress, variables: { id }, fetchPolicy: "no-cache" })
    return data?.node?.__typename === "File" ? readFragment(UploadFile, data.node) : undefined
  }

  /** Brings the bytes that the server does not have yet, when it is this file's turn. */
  async #bring(work: Work, address: string) {
    await this.#enter()
    try {
      if (!work.stop.signal.aborted) await this.#send(work, address)
    } finally {
      this.#leave()
    }
  }

  async #send(work: Work, address: string) {
    const { Upload } = await import("tus-js-client")
    const { file, stop } = work
    stop.signal.throwIfAborted()
    this.#update(work, { state: "uploading", reason: undefined })
    await new Promise<void>((resolve, reject) => {
      let watchdog: ReturnType<typeof setTimeout> | undefined
      const end = (failure?: Error) => {
        clearTimeout(watchdog)
        window.removeEventListener("offline", lose)
        stop.signal.removeEventListener("abort", lose)
        if (failure) reject(failure)
        else resolve()
      }
      const lose = () => {
        void upload.abort()
        end(new Setback(noConnection))
      }
      const alive = (time: number) => {
        clearTimeout(watchdog)
        watchdog = setTimeout(lose, time)
      }
      const upload = new Upload(file, {
        uploadUrl: this.#session.address(address),
        uploadSize: file.size,
        chunkSize: piece,
        retryDelays: null, // #carry does it, with what the API says
        storeFingerprintForResuming: false,
        onBeforeRequest: async (request) => {
          request.setHeader("Authorization", `Bearer ${await this.#session.token()}`)
          stop.signal.throwIfAborted() // it was given up meanwhile
        },
        onProgress: (sent) => {
          alive(sent === file.size ? examination : silence)
          this.#move(work, sent)
        },
        onSuccess: () => end(),
        onError: (error) => {
          this.#judge(work, error).then(end, end)
        },
      })
      window.addEventListener("offline", lose)
      stop.signal.addEventListener("abort", lose)
      alive(silence)
      upload.start()
    })
  }

  /** What a failed request means. */
  async #judge(work: Work, error: Error | DetailedError): Promise<Error> {
    const failed = "originalResponse" in error ? error : undefined
    const cause = failed?.causingError ?? error
    if (cause instanceof SignedOut) return cause
    const response = failed?.originalResponse
    if (!response) return (await isReadable(work.file)) ? new Setback(noConnection) : unreadable()
    const status = response.getStatus()
    switch (status) {
      case 401:
        this.#session.renew()
        return new Setback("You are signed out.", { isImmediate: true })
      case 404: // the upload is over, one way or the other
      case 410: // the address is
        work.address = undefined
        return new Setback(notNow, { isImmediate: true })
      case 409:
        return new Setback(notNow, { isImmediate: true })
      case 408:
      case 423:
      case 429:
        return new Setback(notNow)
    }
    if (status >= 500) return new Setback(notNow)
    const { message, code } = said(response.getBody())
    if (message) return refusal(message, code)
    work.address = undefined // an answer to HEAD says nothing: the API does
    return new Setback(notNow, { isImmediate: true })
  }

  /** Waits until fewer files bring their bytes. */
  async #enter() {
    if (this.#slots > 0) this.#slots--
    else await new Promise<void>((resolve) => this.#queue.push(resolve))
  }

  #leave() {
    const next = this.#queue.shift()
    if (next) next()
    else this.#slots++
  }

  #pause(work: Work, time: number) {
    return new Promise<void>((resolve) => {
      const end = () => {
        clearTimeout(timer)
        work.stop.signal.removeEventListener("abort", end)
        work.hurry = undefined
        resolve()
      }
      const timer = setTimeout(end, time * (0.5 + Math.random() / 2))
      work.stop.signal.addEventListener("abort", end)
      work.hurry = end
    })
  }

  readonly #hurry = () => {
    for (const work of this.#work.values()) work.hurry?.()
  }

  readonly #warn = (event: BeforeUnloadEvent) => {
    const isPending = [...this.#waiting.values()].some(({ files }) => files.some(({ state }) => state !== "refused"))
    if (isPending) event.preventDefault()
  }

  /** Notes how far a file is. It is shown a few times a second. */
  #move(work: Work, sent: number) {
    work.sent = sent
    this.#moved.add(work)
    this.#timer ??= setTimeout(() => {
      this.#timer = undefined
      const moved = [...this.#moved]
      this.#moved.clear()
      for (const work of moved) {
        const isWhole = work.sent === work.file.size
        this.#update(work, { progress: work.sent / work.file.size, state: isWhole ? "checking" : "uploading" }, [
          "uploading",
          "checking",
        ])
      }
    }, tick)
  }

  /** Changes what is shown of a file, if it is still there, and in one of some states. */
  #update({ key, conversationId }: Work, change: Partial<Upload>, ifState?: UploadState[]) {
    const { files, note } = this.of(conversationId)
    const upload = files.find((upload) => upload.key === key)
    if (!upload || (ifState && !ifState.includes(upload.state))) return
    const changed = { ...upload, canRetry: true, ...change }
    this.#set(conversationId, { files: files.map((other) => (other === upload ? changed : other)), note })
  }

  #set(conversationId: string, waiting: Waiting) {
    if (waiting.files.length > 0 || waiting.note) this.#waiting.set(conversationId, waiting)
    else this.#waiting.delete(conversationId)
    for (const listener of this.#listeners) listener()
  }
}

function shown({ key, file }: Work): Upload {
  return {
    key,
    name: file.name,
    size: file.size,
    state: "announcing",
    progress: 0,
    canRetry: true,
    preview: isPicture(file.type) ? URL.createObjectURL(file) : undefined,
  }
}

function revoke({ preview }: Upload) {
  if (preview) URL.revokeObjectURL(preview)
}

const noConnection = "No connection. The upload goes on when it is back."
const notNow = "The server can't take it at the moment. It is tried again by itself."

/** What keeps a file from coming to the server. */
class Setback extends Error {
  /** Trying the same again will not help. */
  readonly isFinal: boolean
  /** The person may try it again as something new. */
  readonly canRetry: boolean
  /** Trying again at once may help. */
  readonly isImmediate: boolean

  constructor(message: string, { isFinal = false, canRetry = true, isImmediate = false } = {}) {
    super(message)
    this.isFinal = isFinal
    this.canRetry = canRetry
    this.isImmediate = isImmediate
  }
}

/** Codes of refusals that are about the file itself. */
const hopeless = new Set([
  "FILE_EMPTY",
  "FILE_TOO_LARGE",
  "FILE_NOT_ALLOWED",
  "FILE_TYPE_MISMATCH",
  "FILE_AMBIGUOUS",
  "FILE_DAMAGED",
  "FILE_PICTURE_TOO_LARGE",
  "FILE_INFECTED",
])

function refusal(message = "The server refused the file.", code = "") {
  return new Setback(message, { isFinal: true, canRetry: !hopeless.has(code) })
}

function unreadable() {
  return new Setback("The file can't be read. It may have been moved or changed: attach it again.", {
    isFinal: true,
    canRetry: false,
  })
}

function asSetback(error: unknown): Setback {
  if (error instanceof Setback) return error
  if (error instanceof SignedOut) return new Setback("You are signed out.")
  if (CombinedGraphQLErrors.is(error)) {
    const { message, extensions } = error.errors[0] ?? {}
    const code = String(extensions?.code)
    return ["BUSY", "RESTARTING", "UNAVAILABLE", "INTERNAL"].includes(code)
      ? new Setback(notNow)
      : refusal(message, code)
  }
  return new Setback(error instanceof TypeError ? noConnection : notNow)
}

/** Folders, and files that were moved or changed since, can't be read; requests that bring them fail without saying so. */
async function isReadable(file: File) {
  try {
    await file.slice(0, 1).arrayBuffer()
    return true
  } catch {
    return false
  }
}

/** What an answer of the server says, in the form of the API. */
export function said(body: string): { message?: string; code?: string } {
  try {
    const { errors } = JSON.parse(body) as { errors?: { message?: string; extensions?: { code?: string } }[] }
    const { message, extensions } = errors?.[0] ?? {}
    return { ...(message && { message }), ...(extensions?.code && { code: extensions.code }) }
  } catch {
    return {} // a proxy has answered
  }
}

export const UploadsContext = createContext<Uploads | null>(null)

/** The files that wait to be sent to a conversation, and what can be done with them. */
export interface ConversationUploads extends Waiting {
  /** Whether there is something to send, or something that the message has to wait for. */
  attached: "nothing" | "ready" | "waiting"
  add: (files: Iterable<File>) => void
  remove: (key: string) => void
  retry: (key: string) => void
  /** Hands over what is ready, for a message. */
  take: () => { id: string; name: string }[]
}

export function useUploads(conversationId: string): ConversationUploads {
  const uploads = use(UploadsContext)
  if (!uploads) throw new Error("useUploads needs an UploadsContext around it")
  const waiting = useSyncExternalStore(uploads.subscribe, () => uploads.of(conversationId))
  return useMemo(
    () => ({
      ...waiting,
      attached: attached(waiting.files),
      add: (files) => uploads.add(conversationId, files),
      remove: (key) => uploads.remove(conversationId, key),
      retry: (key) => uploads.retry(conversationId, key),
      take: () => uploads.take(conversationId),
    }),
    [uploads, conversationId, waiting],
  )
}

function attached(files: readonly Upload[]) {
  const pending = files.filter(({ state }) => state !== "refused")
  if (pending.length === 0) return "nothing"
  return pending.every(({ state }) => state === "ready") ? "ready" : "waiting"
}
