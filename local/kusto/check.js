// Reads a JSON object of KQL queries by name from standard input, and has Kusto's own parser look at each, against the
// columns that Application Insights' table `traces` has. Prints a line a query; exit status 1 if one is wrong.
'use strict';
const path = require('path');
const folder = path.dirname(require.resolve('@kusto/language-service-next/package.json'));
for (const file of ['bridge.js', 'Kusto.Language.Bridge.js']) require(path.join(folder, file));
const { GlobalState, KustoCode, Symbols } = Kusto.Language;

const columns = 'timestamp:datetime, message:string, severityLevel:int, customDimensions:dynamic, operation_Id:string, cloud_RoleName:string';
const traces = Symbols.TableSymbol.From(`(${columns})`).WithName('traces');
const globals = GlobalState.Default.WithDatabase(new Symbols.DatabaseSymbol.$ctor1('app', [traces]));

const queries = JSON.parse(require('fs').readFileSync(0, 'utf8'));
let wrong = 0;
for (const [name, text] of Object.entries(queries)) {
  const found = KustoCode.ParseAndAnalyze(text, globals).GetDiagnostics();
  for (let i = 0; i < found.Count; i++) {
    const { Severity, Start, Message } = found.getItem(i);
    console.log(`${name}: ${Severity} at ${Start}: ${Message}`);
    wrong = 1;
  }
}
console.log(`${Object.keys(queries).length} queries${wrong ? '' : ', all right'}`);
process.exit(wrong);
