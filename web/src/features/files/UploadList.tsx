import { ActionIcon, Button } from "@mantine/core"
import { useEffect, useRef, useState } from "react"
import { useAnnounce } from "../../ui/Announcer"
import { CrossIcon, FileIcon } from "../../ui/icons"
import { sizeInWords } from "./kinds"
import { ProgressBar } from "./ProgressBar"
import type { ConversationUploads, Upload } from "./uploads"

/** The files that go with the next message, and how far they are. */
export function UploadList({ uploads }: { uploads: ConversationUploads }) {
  const { files, note, remove, retry } = uploads
  const announce = useAnnounce()
  const ready = files.filter((upload) => upload.state === "ready")
  const last = useRef<readonly string[]>([])
  useEffect(() => {
    const fresh = ready.filter(({ key }) => !last.current.includes(key))
    last.current = ready.map(({ key }) => key)
    if (fresh.length > 0) announce(`Ready to send: ${fresh.map(({ name }) => name).join(", ")}`)
  })
  return (
    <>
      {files.length > 0 && (
        <ul className="upload-list" aria-label="Files to send">
          {files.map((upload) => (
            <Item
              key={upload.key}
              upload={upload}
              onRemove={() => remove(upload.key)}
              onRetry={() => retry(upload.key)}
            />
          ))}
        </ul>
      )}
      {note && (
        <p className="upload-note" role="alert">
          {note}
        </p>
      )}
    </>
  )
}

interface ItemProps {
  upload: Upload
  onRemove: () => void
  onRetry: () => void
}

function Item({ upload: { name, size, state, progress, reason, canRetry, preview }, onRemove, onRetry }: ItemProps) {
  const isRefused = state === "refused"
  const isMoving = state === "announcing" || state === "uploading" || state === "checking"
  return (
    <li className={`upload ${state}`}>
      <Preview address={preview} />
      <div className="upload-text">
        <bdi className="upload-name" title={name}>
          {name}
        </bdi>
        <span className="upload-meta">
          {sizeInWords(size)}
          {words[state] && ` · ${words[state]}`}
        </span>
        {(isMoving || state === "interrupted") && (
          <ProgressBar label={`Uploading ${name}`} value={progress} text={words[state] || undefined} />
        )}
        {reason && (
          <span className="upload-reason" role={isRefused ? "alert" : "status"}>
            {reason}
          </span>
        )}
      </div>
      {(isRefused || state === "interrupted") && canRetry && (
        <Button size="compact-xs" variant="light" aria-label={`Try ${name} again`} onClick={onRetry}>
          Try again
        </Button>
      )}
      <ActionIcon
        variant="subtle"
        color="gray"
        aria-label={`Remove ${name}`}
        onClick={(event) => {
          goOn(event.currentTarget)
          onRemove()
        }}
      >
        <CrossIcon size={16} />
      </ActionIcon>
    </li>
  )
}

const words: Record<Upload["state"], string> = {
  announcing: "Waiting…",
  uploading: "",
  checking: "Checking…",
  ready: "Ready",
  refused: "",
  interrupted: "Interrupted",
}

function Preview({ address }: { address: string | undefined }) {
  const [failed, setFailed] = useState(false)
  if (!address || failed) {
    return (
      <span className="upload-preview">
        <FileIcon />
      </span>
    )
  }
  return <img className="upload-preview" src={address} alt="" decoding="async" onError={() => setFailed(true)} />
}

/** Brings the focus from a file that is taken away to the next one, or to where the message is written. */
function goOn(button: HTMLElement) {
  const item = button.closest("li")
  const next = item?.nextElementSibling ?? item?.previousElementSibling
  const target =
    next?.querySelector<HTMLElement>("button:last-of-type") ??
    button.closest(".drop-zone")?.querySelector<HTMLElement>("textarea")
  target?.focus()
}
