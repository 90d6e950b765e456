import { ActionIcon, Button, Modal, SegmentedControl } from "@mantine/core"
import { type RefObject, useState } from "react"
import { ConversationList } from "../features/conversations/ConversationList"
import type { ConversationFilter } from "../graphql/generated/graphql"
import { BackIcon, CrossIcon } from "../ui/icons"
import { useReturnFocus } from "../ui/focus"
import { texts } from "../ui/texts"
import { ConversationPanel } from "./ConversationPanel"
import { Help } from "./Help"
import { useChat } from "./state"

const filters: Record<string, ConversationFilter> = {
  All: {},
  Unread: { unread: true },
  Archived: { archived: true },
}

export interface AllChatsProps {
  openId: string | undefined
  returnTo: RefObject<HTMLElement | null>
  onOpen: (id: string) => void
  onBack: () => void
  onClose: () => void
  onNewChat: () => void
}

/** See All Chats: all conversations, and the one that is open beside them (S13), archived ones on request (E15). */
export function AllChats({ openId, returnTo, onOpen, onBack, onClose, onNewChat }: AllChatsProps) {
  const { supportContact } = useChat()
  const [show, setShow] = useState("All")
  useReturnFocus(true, returnTo)
  return (
    <Modal.Root
      opened
      onClose={onClose}
      fullScreen
      lockScroll={false}
      returnFocus={false}
      closeOnEscape={false}
      onKeyDown={(event) => {
        if (event.key === "Escape" && !event.nativeEvent.isComposing) onClose()
      }}
      padding={0}
      transitionProps={{ duration: 0 }}
    >
      <Modal.Content classNames={{ content: "all-chats" }} aria-label="All chats">
        <div className={`all-chats-list ${openId ? "behind" : ""}`}>
          <header className="chat-header">
            <h2 className="chat-title">All chats</h2>
            <Button size="compact-sm" onClick={onNewChat}>
              {texts.newChat}
            </Button>
            <ActionIcon variant="subtle" color="gray" aria-label="Close all chats" onClick={onClose}>
              <CrossIcon />
            </ActionIcon>
          </header>
          <SegmentedControl aria-label="Show" data={Object.keys(filters)} value={show} onChange={setShow} m="xs" />
          <div className="all-chats-rows">
            <ConversationList
              key={show}
              label="All conversations"
              filter={filters[show] ?? {}}
              openId={openId}
              onOpen={onOpen}
              empty={
                <>
                  <p>
                    {show === "All"
                      ? "No chats yet."
                      : show === "Unread"
                        ? "Nothing is unread."
                        : "Nothing is archived."}
                  </p>
                  <Help contact={supportContact} />
                </>
              }
            />
          </div>
        </div>
        <div className={`all-chats-thread ${openId ? "" : "behind"}`}>
          {openId ? (
            <ConversationPanel
              key={openId}
              id={openId}
              isAttended
              openings={1}
              before={
                <ActionIcon
                  className="back"
                  variant="subtle"
                  color="gray"
                  aria-label="Back to all chats"
                  onClick={onBack}
                >
                  <BackIcon />
                </ActionIcon>
              }
              onAttend={() => undefined}
              onClose={onBack}
            />
          ) : (
            <p className="empty">Choose a chat, or begin a new one.</p>
          )}
        </div>
      </Modal.Content>
    </Modal.Root>
  )
}
