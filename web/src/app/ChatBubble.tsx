import { ActionIcon } from "@mantine/core"
import { lazy, type RefObject, Suspense, useId, useState } from "react"
import { ChatIcon } from "../ui/icons"

const load = () => import("./ChatsDropdown")
const ChatsDropdown = lazy(async () => ({ default: (await load()).ChatsDropdown }))

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
      onPointerEnter={() => void load()}
      onFocus={() => void load()}
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
        <Suspense fallback={button}>
          <ChatsDropdown {...dropdown} isOpen={isOpen} onClose={() => onToggle(false)} returnTo={bubble}>
            {button}
          </ChatsDropdown>
        </Suspense>
      ) : (
        button
      )}
      <span id={unreadId} className="visually-hidden">
        {unread > 0 && (unread === 1 ? "1 unread chat" : `${unread} unread chats`)}
      </span>
    </>
  )
}
