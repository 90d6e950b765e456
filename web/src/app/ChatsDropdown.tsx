import { Button, Popover } from "@mantine/core"
import type { ReactElement, RefObject } from "react"
import { ConversationList } from "../features/conversations/ConversationList"
import { useReturnFocus } from "../ui/focus"
import { texts } from "../ui/texts"
import { Help } from "./Help"
import { useChat } from "./state"

/** How many of the recent chats are shown. */
const recent = 8

export interface ChatsDropdownProps {
  isOpen: boolean
  onClose: () => void
  onOpen: (id: string) => void
  onNewChat: () => void
  onAllChats: () => void
  returnTo: RefObject<HTMLElement | null>
  /** The bubble that it belongs to. */
  children: ReactElement
}

/** The recent chats (S11), and the ways to a new one (S14) and to all of them (S13). */
export function ChatsDropdown({
  isOpen,
  onClose,
  onOpen,
  onNewChat,
  onAllChats,
  returnTo,
  children,
}: ChatsDropdownProps) {
  const { supportContact } = useChat()
  useReturnFocus(isOpen, returnTo)
  return (
    <Popover
      opened={isOpen}
      onDismiss={onClose}
      position="bottom-end"
      trapFocus
      withRoles={false}
      width={360}
      shadow="md"
      transitionProps={{ duration: 0 }}
    >
      <Popover.Target>{children}</Popover.Target>
      <Popover.Dropdown className="dropdown" role="dialog" aria-label="Chats">
        <div className="dropdown-head">
          <h2>Chats</h2>
          <Button size="compact-sm" data-autofocus onClick={onNewChat}>
            {texts.newChat}
          </Button>
        </div>
        <div className="dropdown-rows">
          <ConversationList
            label="Recent chats"
            most={recent}
            onOpen={onOpen}
            empty={
              <>
                <p>No chats yet.</p>
                <Help contact={supportContact} />
              </>
            }
          />
        </div>
        <Button variant="subtle" fullWidth onClick={onAllChats}>
          {texts.seeAllChats}
        </Button>
      </Popover.Dropdown>
    </Popover>
  )
}
