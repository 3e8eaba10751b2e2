// Half of Azurite's start is to load a database's client and telemetry. Its data are in memory or
// in files here, and telemetry is off: nothing of these two is used, but that classes derive from
// one of them.
const Module = require("module");

const unused = { sequelize: { Model: class {} }, applicationinsights: {} };
const load = Module._load;
Module._load = function (name, ...others) {
  return Object.hasOwn(unused, name) ? unused[name] : load.call(this, name, ...others);
};
