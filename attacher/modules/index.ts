export { overlayDrivers, plugDrivers, windowDrivers } from './drivers.js';
export { modulesFor } from './modules-for.js';
