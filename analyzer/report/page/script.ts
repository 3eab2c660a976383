import { mapScript } from './map-script.js';
import { tableScript } from './table-script.js';

/** Script of the HTML report; without it the page still has all its tables. */
export const script = `
'use strict';
const element = (tag, className, text) => {
  const made = document.createElement(tag);
  if (className) made.className = className;
  if (text !== undefined) made.textContent = text;
  return made;
};
for (const hidden of document.querySelectorAll('.js')) hidden.hidden = false;
${mapScript}${tableScript}`;
