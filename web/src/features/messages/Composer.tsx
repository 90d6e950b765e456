import { ActionIcon, Textarea } from "@mantine/core"
import { type ClipboardEvent, type ReactNode, useEffect, useRef, useState } from "react"
import { type FragmentType, graphql, readFragment } from "../../graphql/generated"
import { SendIcon } from "../../ui/icons"
import type { Drafts } from "./drafts"

export const ComposerFields = graphql(`
  fragment ComposerConversation on Conversation {
    id
    viewerCanSend
    viewerCannot(action: SEND) {
      code
      message
    }
  }
`)

/** How many characters a message may have, as `sendMessage` says. */
const most = 10_000

export interface ComposerProps {
  conversation: FragmentType<typeof ComposerFields>
  drafts: Drafts
  /** What belongs beside the text: the button that attaches files. */
  tools: ReactNode
  /** The files that go with the message, above the text. */
  files: ReactNode
  /** Whether there is something to send besides a text, or something that it has to wait for. */
  attached: "nothing" | "ready" | "waiting"
  /** How often the person opened the chat: each time what they type goes in here. */
  openings: number
  onSend: (text: string) => void
  onPaste: (event: ClipboardEvent) => void
}

/** Where a person writes. Enter sends, Shift and Enter begin a new line (S23). */
export function Composer({
  conversation: masked,
  drafts,
  tools,
  files,
  attached,
  openings,
  onSend,
  onPaste,
}: ComposerProps) {
  const { id, viewerCanSend, viewerCannot } = readFragment(ComposerFields, masked)
  const [text, setText] = useState(() => drafts.get(id))
  const field = useRef<HTMLTextAreaElement>(null)
  useEffect(() => {
    if (openings > 0 && viewerCanSend) field.current?.focus()
  }, [openings, viewerCanSend])
  if (!viewerCanSend) {
    const reason = viewerCannot?.message ?? ""
    return (
      <div className="composer">
        <Textarea className="composer-text" aria-label="Message" disabled placeholder={reason} rows={1} />
      </div>
    )
  }
  const write = (text: string) => {
    setText(text)
    drafts.set(id, text)
  }
  const tooLong = text.length > most ? Array.from(text).length - most : 0
  const canSend = attached !== "waiting" && tooLong <= 0 && (text.trim() !== "" || attached === "ready")
  const send = () => {
    if (!canSend) return
    onSend(text)
    write("")
  }
  return (
    <div className="composer">
      {files}
      <form
        className="composer-line"
        onSubmit={(event) => {
          event.preventDefault()
          send()
        }}
      >
        {tools}
        <Textarea
          ref={field}
          className="composer-text"
          aria-label="Message"
          placeholder="Write a message"
          rows={1}
          attributes={{ input: { dir: "auto" } }}
          value={text}
          error={tooLong > 0 ? `${tooLong.toLocaleString()} characters too many.` : undefined}
          onChange={(event) => write(event.currentTarget.value)}
          onPaste={onPaste}
          onKeyDown={(event) => {
            if (event.key !== "Enter" || event.shiftKey || event.nativeEvent.isComposing) return
            event.preventDefault()
            send()
          }}
        />
        <ActionIcon type="submit" size="lg" aria-label="Send" disabled={!canSend}>
          <SendIcon />
        </ActionIcon>
      </form>
    </div>
  )
}
