import { ActionIcon } from "@mantine/core"
import { useEffect, useRef, useState } from "react"
import { type FragmentType, graphql, readFragment } from "../../graphql/generated"
import type { FileCardFragment } from "../../graphql/generated/graphql"
import { useToast } from "../../ui/Toasts"
import { CrossIcon, DownloadIcon, FileIcon } from "../../ui/icons"
import { part } from "../../ui/part"
import { save, Unavailable, useFetchFile } from "./download"
import { isPicture, kindOf, sizeInWords } from "./kinds"
import { ProgressBar } from "./ProgressBar"
import { throttled, useFile } from "./useFile"
import { useIsNear } from "./useIsNear"

const FilePreview = part(async () => (await import("./FilePreview")).FilePreview)

export const FileCardFields = graphql(`
  fragment FileCard on File {
    id
    name
    mediaType
    size
    scan
    width
    height
    pageCount
  }
`)

/** A file of a message (S24): what it is, a picture of it, and ways to open and keep it. */
export function FileCard({ file: masked }: { file: FragmentType<typeof FileCardFields> }) {
  const file = readFragment(FileCardFields, masked)
  const { id, name, mediaType } = file
  const [isOpen, setIsOpen] = useState(false)
  const { progress, error, start, cancel } = useDownload(id, name)
  const state = scanState(file.scan)
  const isGone = error?.isFinal === true
  const canGet = !state && !isGone
  const open = () => (kindOf(mediaType) === "other" ? start() : setIsOpen(true))
  const hasPicture = canGet && isPicture(mediaType) && file.width !== null && file.height !== null
  return (
    <div className="file-card">
      {hasPicture && <Picture file={file} onOpen={open} />}
      <div className="file-line">
        {canGet && !hasPicture ? (
          <button type="button" className="file-open" aria-label={`Open ${name}`} onClick={open}>
            <FileIcon />
            <Words file={file} />
          </button>
        ) : (
          <div className="file-open">
            {!hasPicture && <FileIcon />}
            <Words file={file} />
          </div>
        )}
        {canGet &&
          (progress === undefined ? (
            <ActionIcon variant="subtle" color="gray" aria-label={`Download ${name}`} onClick={start}>
              <DownloadIcon size={18} />
            </ActionIcon>
          ) : (
            <ActionIcon variant="subtle" color="gray" aria-label={`Cancel download of ${name}`} onClick={cancel}>
              <CrossIcon size={18} />
            </ActionIcon>
          ))}
      </div>
      {progress !== undefined && <ProgressBar label={`Downloading ${name}`} value={progress} />}
      {state && <p className={`file-state ${file.scan === "INFECTED" ? "bad" : ""}`}>{state}</p>}
      {error && (
        <p className="file-state bad" role="alert">
          {error.message}
        </p>
      )}
      {isOpen && <FilePreview file={file} onClose={() => setIsOpen(false)} onDownload={start} />}
    </div>
  )
}

function Words({ file: { name, size, pageCount } }: { file: FileCardFragment }) {
  return (
    <span className="file-words">
      <bdi className="file-name" title={name}>
        {name}
      </bdi>
      <span className="file-meta">
        {sizeInWords(size)}
        {pageCount !== null && ` · ${pageCount === 1 ? "1 page" : `${pageCount.toLocaleString()} pages`}`}
      </span>
    </span>
  )
}

function scanState(scan: FileCardFragment["scan"]) {
  switch (scan) {
    case null:
    case "CLEAN":
      return undefined
    case "PENDING":
      return "Being checked for malware"
    case "INFECTED":
      return "Malware was found in this file"
    default:
      return "Could not be checked"
  }
}

/** How large a small picture is at most, in CSS pixels, and at least. */
const most = 240
const least = 48

/** The small picture of a file, in a place that is kept for it, so that nothing jumps when it comes. */
function Picture({ file, onOpen }: { file: FileCardFragment; onOpen: () => void }) {
  const frame = useRef<HTMLButtonElement>(null)
  const { address, error } = useFile(file.id, "thumbnail", useIsNear(frame))
  const [failed, setFailed] = useState(false)
  const width = file.width ?? most
  const height = file.height ?? most
  const scale = Math.min(1, most / width, most / height)
  const box = {
    inlineSize: Math.max(least, Math.round(width * scale)),
    aspectRatio: `${Math.max(least, width * scale)} / ${Math.max(least, height * scale)}`,
  }
  return (
    <button
      ref={frame}
      type="button"
      className="file-picture"
      style={box}
      aria-label={`Open ${file.name}`}
      onClick={onOpen}
    >
      {address && !failed ? (
        <img src={address} alt="" draggable={false} decoding="async" onError={() => setFailed(true)} />
      ) : (
        (failed || error) && (
          <span className="file-no-picture">
            <FileIcon />
            {error?.message}
          </span>
        )
      )}
    </button>
  )
}

/** Downloads a file and has the browser save it. */
function useDownload(id: string, name: string) {
  const fetchFile = useFetchFile()
  const toast = useToast()
  const [progress, setProgress] = useState<number>()
  const [error, setError] = useState<Unavailable>()
  const stop = useRef<AbortController>(null)
  useEffect(() => () => stop.current?.abort(), [])
  const start = () => {
    if (stop.current) return
    const mine = new AbortController()
    stop.current = mine
    setError(undefined)
    setProgress(0)
    fetchFile(id, "download", { signal: mine.signal, onProgress: throttled(setProgress) })
      .then((bytes) => save(bytes, name))
      .catch((reason: unknown) => {
        if (mine.signal.aborted || !(reason instanceof Unavailable)) return
        setError(reason)
        toast({ text: `${name}: ${reason.message}`, isError: true })
      })
      .finally(() => {
        stop.current = null
        setProgress(undefined)
      })
  }
  return { progress, error, start, cancel: () => stop.current?.abort() }
}
