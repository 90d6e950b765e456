import "../corridor"
import "./page.css"
import { createElement } from "react"
import { createRoot } from "react-dom/client"
import { Page } from "./Page"

const place = document.getElementById("page")
if (place) createRoot(place).render(createElement(Page))
