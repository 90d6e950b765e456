import { Button, Group } from "@mantine/core"
import { memo, type ReactNode } from "react"
import { type FragmentType, graphql, readFragment } from "../../graphql/generated"
import type { MessageLineFragment } from "../../graphql/generated/graphql"
import { inFull, timeOfDay } from "../../ui/time"
import type { Outgoing } from "./outbox"
import { TakeBack } from "./TakeBack"

export const MessageLineFields = graphql(`
  fragment MessageLine on Message {
    id
    seq
    cursor
    kind
    text
    sentAt
    editedAt
    recalledAt
    clientKey
    sender {
      id
      name
      isViewer
      kind
    }
    files {
      id
      ...FileCard
    }
  }
`)

export interface MessageLineProps {
  message: FragmentType<typeof MessageLineFields>
  /** The first of several in a row of one sender: it bears the name. */
  begins: boolean
  /** The last one of the viewer's, which says that it was sent. */
  isLastOwn: boolean
  files: (message: MessageLineFragment) => ReactNode
}

/** One line of a transcript: what somebody wrote, or what happened to the group (E10). */
export const MessageLine = memo(function MessageLine({ message: masked, begins, isLastOwn, files }: MessageLineProps) {
  const message = readFragment(MessageLineFields, masked)
  if (message.kind !== "TEXT") {
    return (
      <p className="system-line" dir="auto">
        {message.text}
      </p>
    )
  }
  const isOwn = message.sender?.isViewer ?? false
  const name = isOwn ? "You" : (message.sender?.name ?? "")
  const isProgram = message.sender?.kind === "SERVICE"
  const who = isProgram ? `${name}, service account` : name
  return (
    <article className={`message ${isOwn ? "own" : ""}`} aria-label={`${who}, ${inFull(message.sentAt)}`}>
      {begins && !isOwn && (
        <p className="sender" aria-hidden="true">
          <bdi>{name}</bdi>
          {isProgram && <span className="program">Service account</span>}
        </p>
      )}
      <div className="bubble-line">
        {isOwn && !message.recalledAt && <TakeBack messageId={message.id} />}
        <div className="bubble">
          {message.recalledAt ? (
            <em className="recalled">Message recalled</em>
          ) : (
            <>
              {message.text && (
                <p className="text" dir="auto">
                  {message.text}
                </p>
              )}
              {message.files.length > 0 && files(message)}
            </>
          )}
          <span className="meta">
            {message.editedAt && !message.recalledAt && <span title={inFull(message.editedAt)}>edited </span>}
            <time dateTime={message.sentAt} title={inFull(message.sentAt)}>
              {timeOfDay(message.sentAt)}
            </time>
            {isLastOwn && <span> · Sent</span>}
          </span>
        </div>
      </div>
    </article>
  )
})

/** A message that is on its way, or failed. */
export function OutgoingLine({
  message,
  onRetry,
  onDiscard,
}: {
  message: Outgoing
  onRetry: () => void
  onDiscard: () => void
}) {
  const failed = message.state === "failed"
  return (
    <article
      className={`message own ${failed ? "failed" : "sending"}`}
      aria-label={`You, ${failed ? "not sent" : "sending"}`}
    >
      <div className="bubble">
        {message.body && (
          <p className="text" dir="auto">
            {message.body}
          </p>
        )}
        {message.files.map((file) => (
          <p key={file.id} className="text">
            <bdi>{file.name}</bdi>
          </p>
        ))}
        <span className="meta">{failed ? "Not sent" : "Sending…"}</span>
      </div>
      {failed && (
        <div className="failure" role="alert">
          <span>{message.reason}</span>
          <Group gap="xs" justify="flex-end">
            <Button size="compact-xs" variant="light" onClick={onRetry}>
              Try again
            </Button>
            <Button size="compact-xs" variant="subtle" color="gray" onClick={onDiscard}>
              Discard
            </Button>
          </Group>
        </div>
      )}
    </article>
  )
}
