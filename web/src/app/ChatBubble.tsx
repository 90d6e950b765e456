import { ActionIcon } from "@mantine/core"
import { type RefObject, useId, useState } from "react"
import { ChatIcon } from "../ui/icons"
import { part } from "../ui/part"

/** What opens below the bubble. */
export const ChatsDropdown = part(async () => (await import("./ChatsDropdown")).ChatsDropdown)

export interface ChatBubbleProps {
  /** The button itself, to which the focus goes back. */
  bubble: RefObject<HTMLButtonElement | null>
  unread: number
  isOpen: boolean
  onToggle: (isOpen: boolean) => void
  onOpen: (id: string) => void
  onNewChat: () => void
  onAllChats: () => void
}

/** The button beside the person's name, with what is unread (S9). It opens the chats dropdown (S10). */
export function ChatBubble({ bubble, unread, isOpen, onToggle, ...dropdown }: ChatBubbleProps) {
  const unreadId = useId()
  const [wasOpened, setWasOpened] = useState(false)
  const button = (
    <ActionIcon
      ref={bubble}
      className="chat-bubble"
      variant="subtle"
      size="lg"
      aria-label="Chats"
      aria-haspopup="dialog"
      aria-expanded={isOpen}
      aria-describedby={unread > 0 ? unreadId : undefined}
      // Who is about to click does not wait for it then.
      onPointerEnter={ChatsDropdown.load}
      onFocus={ChatsDropdown.load}
      onClick={() => {
        setWasOpened(true)
        onToggle(!isOpen)
      }}
    >
      <ChatIcon />
      {unread > 0 && <span className="badge" aria-hidden="true" data-count={unread > 99 ? "99+" : unread} />}
    </ActionIcon>
  )
  return (
    <>
      {wasOpened ? (
        <ChatsDropdown
          {...dropdown}
          whileLoading={button}
          isOpen={isOpen}
          onClose={() => onToggle(false)}
          returnTo={bubble}
        >
          {button}
        </ChatsDropdown>
      ) : (
        button
      )}
      <span id={unreadId} className="visually-hidden">
        {unread > 0 && (unread === 1 ? "1 unread chat" : `${unread} unread chats`)}
      </span>
    </>
  )
}
