// Turns the text areas of the template editor into CodeMirror editors. Without it, the text areas work as they are.
//
// Each editor lives in a shadow root, because CodeMirror then adds its styles as constructed style sheets. These are
// allowed under the Content-Security-Policy "default-src 'self'", while style elements are not.

import {closeBrackets, closeBracketsKeymap} from "@codemirror/autocomplete"
import {defaultKeymap, history, historyKeymap} from "@codemirror/commands"
import {html} from "@codemirror/lang-html"
import {jinja} from "@codemirror/lang-jinja"
import {bracketMatching, HighlightStyle, syntaxHighlighting} from "@codemirror/language"
import {searchKeymap} from "@codemirror/search"
import {EditorState} from "@codemirror/state"
import {drawSelection, EditorView, keymap, lineNumbers} from "@codemirror/view"
import {tags} from "@lezer/highlight"

// The admin's own colors, which follow its light and dark theme.
const theme = EditorView.theme({
  "&": {color: "var(--body-fg)", backgroundColor: "var(--body-bg)", border: "1px solid var(--border-color)"},
  "&.cm-focused": {outline: "2px solid var(--link-fg)"},
  ".cm-content": {caretColor: "var(--body-fg)"},
  ".cm-cursor": {borderLeftColor: "var(--body-fg)"},
  ".cm-gutters": {color: "var(--body-quiet-color)", backgroundColor: "var(--darkened-bg)", border: "none"},
  ".cm-scroller": {fontFamily: "ui-monospace, Menlo, Consolas, monospace", fontSize: "0.8125rem", lineHeight: "1.5"},
  "&.cm-focused .cm-selectionBackground, .cm-selectionBackground": {backgroundColor: "var(--selected-row)"},
})

const colors = syntaxHighlighting(HighlightStyle.define([
  {tag: [tags.tagName, tags.angleBracket], color: "var(--link-fg)"},
  {tag: [tags.keyword, tags.controlKeyword, tags.operatorKeyword, tags.brace], color: "var(--link-fg)", fontWeight: "bold"},
  {tag: [tags.variableName, tags.propertyName], fontWeight: "bold"},
  {tag: [tags.string, tags.attributeValue, tags.comment], color: "var(--body-quiet-color)"},
]))

function replace(area) {
  const host = document.createElement("div")
  host.className = "klaxon-editor"
  area.after(host)
  const root = host.attachShadow({mode: "open"})
  const label = document.querySelector(`label[for="${area.id}"]`)
  const view = new EditorView({
    root,
    parent: root,
    state: EditorState.create({
      doc: area.value,
      extensions: [
        lineNumbers(),
        history(),
        drawSelection(),
        bracketMatching(),
        closeBrackets(),
        EditorView.lineWrapping,
        jinja(area.dataset.templateEditor === "html" ? {base: html()} : {}),
        theme,
        colors,
        EditorState.readOnly.of(area.readOnly),
        EditorView.contentAttributes.of({"aria-label": label ? label.textContent.trim() : area.name}),
        // Tab is not bound, so that it moves the focus on.
        keymap.of([...closeBracketsKeymap, ...defaultKeymap, ...searchKeymap, ...historyKeymap]),
        // The text area is what the form submits.
        EditorView.updateListener.of((update) => {
          if (update.docChanged) area.value = view.state.doc.toString()
        }),
      ],
    }),
  })
  if (label) label.addEventListener("click", () => view.focus())
  area.hidden = true
}

for (const area of document.querySelectorAll("textarea[data-template-editor]")) replace(area)
