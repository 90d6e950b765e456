import { CorridorChat } from "./CorridorChat"

// Loaded twice, as by two parts of a host page, it is defined once.
if (!customElements.get("corridor-chat")) customElements.define("corridor-chat", CorridorChat)
