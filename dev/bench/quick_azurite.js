// Azurite looks a row up by its partition first, and then goes through all of that, so that filling
// one takes time by the square of its rows: hours for a hundred thousand recipients. By the row's
// own key first it finds the same row at once. What it answers is the same.
const { createRequire } = require("module");

if (/azurite\.js$/.test(process.argv[1])) { // and not npm, which installs it
  const { Collection } = createRequire(process.argv[1])("lokijs");
  const { findOne } = Collection.prototype;
  Collection.prototype.findOne = function (query) {
    return findOne.call(this, query?.RowKey ? { RowKey: query.RowKey, ...query } : query);
  };
}
