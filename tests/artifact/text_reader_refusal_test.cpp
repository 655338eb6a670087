#include <gmock/gmock.h>

#include <ostream>

#include "artifact/graph_text.h"
#include "artifact/text_reader.h"

// Each way in which a text can be wrong, as one change to a text that is right.

namespace lattice::artifact {
namespace {

struct Refusal {
  std::string name;
  std::string from, to;  // the first `from` becomes `to`
  std::string message;   // how the message begins, after the code and the source
};

std::string right_text() {
  return module_text("%x: $T", "$T",
                     "%y = lattice.elementwise %x {kind = \"exp\"} : ($T) -> $T\n"
                     "return %y : $T\n");
}

void PrintTo(const Refusal& refusal, std::ostream* out) {
  *out << refusal.name;
}

class ReaderRefusal : public testing::TestWithParam<Refusal> {};

TEST_P(ReaderRefusal, NamesPlaceRuleAndWhatWasFound) {
  const Refusal& refusal = GetParam();
  std::string text = right_text();
  if (!refusal.from.empty()) {
    const size_t at = text.find(expanded(refusal.from));
    ASSERT_NE(at, text.npos);
    text.replace(at, expanded(refusal.from).size(), expanded(refusal.to));
  } else {
    text = expanded(refusal.to);
  }
  const size_t space = refusal.message.find(' ');
  EXPECT_THAT(refusal_of([&] { read_graph(text, "g.mlir"); }),
              testing::StartsWith(refusal.message.substr(0, space) + " g.mlir:" + refusal.message.substr(space + 1)));
}

std::string test_name(const testing::TestParamInfo<Refusal>& info) {
  return info.param.name;
}

#define REFUSALS(group, ...) \
  INSTANTIATE_TEST_SUITE_P(group, ReaderRefusal, testing::ValuesIn(std::vector<Refusal>{__VA_ARGS__}), test_name)

constexpr const char* kOp = "lattice.elementwise %x {kind = \"exp\"} : ($T) -> $T";

// Lines 3 and 4 are the body.
REFUSALS(
    Text,  //
    {"Empty", "", "", "corrupt_file 1:1: the text begins with module; found the end of the text"},
    {"OtherText", "", "hello", "corrupt_file 1:1: the text begins with module; found 'hello'"},
    {"ByteOrderMark", "module", "\xEF\xBB\xBFmodule", "corrupt_file 1:1: a token of MLIR begins here; found byte 0xEF"},
    {"FormFeed", " {\n", "\f{\n", "corrupt_file 1:313: a token of MLIR begins here; found byte 0x0C"},
    {"BlockComment", "module", "/* a */ module", "corrupt_file 1:1: a token of MLIR begins here; found '/'"},
    {"NotUtf8", "exp", "\xFF", "corrupt_file 3:38: the text is UTF-8; found byte 0xFF"},
    {"Bytecode", "module", "ML\xEFR", "unsupported 1:1: a graph is MLIR text; found MLIR bytecode"},
    {"NoModule", "", "func.func @forward() -> $T {}",
     "unsupported 1:1: the text begins with module; found 'func.func'"},
    {"GenericModule", "", "\"builtin.module\"() ({}) : () -> ()",
     "unsupported 1:1: the text begins with module; found"},
    {"AliasOfType", "module", "!t = i32\nmodule", "unsupported 1:1: the text begins with module; found '!t'"},
    {"AliasOfAttribute", "module", "#a = 1\nmodule", "unsupported 1:1: the text begins with module; found '#a'"},
    {"AliasAfter", "}\n}\n", "}\n}\n#a = 1", "unsupported 7:1: the text holds one module and no more; found '#a'"},
    {"Resources", "}\n}\n", "}\n}\n{-# #-}", "unsupported 7:1: the text holds one module and no more; found '{-#'"},
    {"Location", "}\n}\n", "}\n} loc(unknown)", "unsupported 6:3: the text holds one module and no more; found 'loc'"},
    {"SecondModule", "}\n}\n", "}\n}\nmodule {}",
     "corrupt_file 7:1: the text holds one module and no more; found 'module'"},
    {"ModuleName", "module", "module @m", "unsupported 1:8: the module has no name; found '@m'"},
    {"CutShort", "}\n}\n", "}\n", "corrupt_file 6:1: the module holds one func.func and no more; found the end"});

REFUSALS(
    Module,  //
    {"NoVersion", "lattice.ir_version = 2, ", "",
     "corrupt_file 1:1: the module has the attribute lattice.ir_version; found none"},
    {"Version3", "ir_version = 2", "ir_version = 3", "unsupported 1:20: lattice.ir_version is the integer 2; found 3"},
    {"VersionText", "ir_version = 2", "ir_version = \"2\"",
     "corrupt_file 1:41: lattice.ir_version is the integer 2; found '\"2\"'"},
    {"VersionReal", "ir_version = 2", "ir_version = 2.0",
     "corrupt_file 1:41: lattice.ir_version is the integer 2; found '2.0'"},
    {"VersionUnit", "ir_version = 2", "ir_version",
     "corrupt_file 1:38: lattice.ir_version is the integer 2; found ','"},
    {"VersionHex", "ir_version = 2", "ir_version = 0x2",
     "unsupported 1:41: lattice.ir_version is the integer 2; found '0x2'"},
    {"VersionOfFloatType", "ir_version = 2", "ir_version = 2 : f32",
     "corrupt_file 1:45: lattice.ir_version is the integer 2; found 'f32'"},
    {"VersionBeyond64Bits", "ir_version = 2", "ir_version = 18446744073709551618",
     "corrupt_file 1:41: lattice.ir_version is the integer 2, in 64 bits; found"},
    {"NoDigest", "lattice.schema_digest", "lattice.other",
     "corrupt_file 1:1: the module has the attribute lattice.schema_digest; found none"},
    {"OtherDigest", "\"1380", "\"1381", "unsupported 1:68: lattice.schema_digest is \"1380f1e8"},
    {"UpperDigest", "1380f1e", "1380F1E", "unsupported 1:68: lattice.schema_digest is \"1380f1e8"},
    {"NoWeightFile", "lattice.weight_file", "lattice.other",
     "corrupt_file 1:1: the module has the attribute lattice.weight_file; found none"},
    {"OtherWeightFile", "\"weights.safetensors\"", "\"w.safetensors\"",
     "corrupt_file 1:291: lattice.weight_file is \"weights.safetensors\"; found 'w.safetensors'"},
    {"NoInputNames", "lattice.input_names", "lattice.other",
     "corrupt_file 1:1: the module has the attribute lattice.input_names; found none"},
    {"NoInputRoles", "lattice.input_roles", "lattice.other",
     "corrupt_file 1:1: the module has the attribute lattice.input_roles; found none"},
    {"NoOutputNames", "lattice.output_names", "lattice.other",
     "corrupt_file 1:1: the module has the attribute lattice.output_names; found none"},
    {"NoOutputRoles", "lattice.output_roles", "lattice.other",
     "corrupt_file 1:1: the module has the attribute lattice.output_roles; found none"},
    {"NamesNotArray", "[\"in0\"]", "\"in0\"",
     "corrupt_file 1:158: lattice.input_names is an array of strings; found '\"in0\"'"},
    {"NameNotString", "[\"in0\"]", "[7]", "corrupt_file 1:159: lattice.input_names is an array of strings; found '7'"},
    {"RoleNotString", "[\"tensor\"]", "[tensor]", "corrupt_file 1:190: lattice.input_roles is an array of the strings"},
    {"UnknownRole", "[\"tensor\"]", "[\"dense\"]",
     "corrupt_file 1:190: lattice.input_roles is an array of the strings"},
    {"AttributeTwice", "lattice.ir_version = 2, ", "lattice.ir_version = 2, \"lattice.ir_version\" = 2, ",
     "corrupt_file 1:44: an attribute is given once; found lattice.ir_version again"},
    {"UnknownExtension", "lattice.ir_version", "lattice.extensions = [\"odd\"], lattice.ir_version",
     "unsupported 1:41: an extension is \"regular\"; found 'odd'"},
    {"ExtensionsNotStrings", "lattice.ir_version", "lattice.extensions = 1, lattice.ir_version",
     "corrupt_file 1:41: lattice.extensions is an array of the names"},
    {"NestedTooDeep", "lattice.ir_version", "a = " + std::string(100, '[') + ", lattice.ir_version",
     "unsupported 1:89: attributes are nested at most 64 deep"},
    {"OtherDialectsAttribute", "lattice.ir_version", "a = #foo.bar<1>, lattice.ir_version",
     "corrupt_file 1:24: an attribute of a dialect is one of lattice's"},
    {"TrailingComma", "lattice.ir_version = 2", "lattice.ir_version = 2,",
     "corrupt_file 1:43: attributes are {name = value, ...}; found ','"},
    {"NoFunction", "", "module attributes {" + module_attributes(0, 0) + "} {}",
     "corrupt_file 1:1: the module holds one func.func; found none"},
    {"TwoFunctions", "}\n}\n", "}\nfunc.func @forward() -> $T {}\n}",
     "corrupt_file 6:1: the module holds one func.func and no more; found 'func.func'"},
    {"OtherTopLevelOperation", "func.func", "arith.constant 1\nfunc.func",
     "corrupt_file 2:1: the module holds one func.func; found 'arith.constant'"},
    {"GenericFunction", "func.func", "\"func.func\"",
     "unsupported 2:1: operations are not in generic form; found '\"func.func\"'"});

REFUSALS(Function,  //
         {"OtherName", "@forward", "@backward",
          "corrupt_file 2:11: the function's name is @forward; found '@backward'"},
         {"NoName", "@forward", "", "corrupt_file 2:11: func.func is followed by @forward; found '('"},
         {"NoResults", "-> $T {\n", "{\n", "corrupt_file 2:41: the function has a result; found none"},
         {"EmptyResults", "-> $T {\n", "-> () {\n", "corrupt_file 2:41: the function has a result; found none"},
         {"NoBody", "{\n%y = " + std::string(kOp) + "\nreturn %y : $T\n}", "",
          "corrupt_file 3:1: the function has a body; found '}'"},
         {"EmptyBody", "%y = " + std::string(kOp) + "\nreturn %y : $T\n", "",
          "corrupt_file 3:1: the function has a body that ends in return; found '}'"},
         {"DeclaredOnly", "%x: $T", "$T",
          "corrupt_file 2:20: the function has a body, with named arguments; found 'tensor'"},
         {"NoReturn", "return %y : $T\n", "",
          "corrupt_file 4:1: the body holds operations of the dialect lattice, then return; found '}'"},
         {"EntryLabel", "%y =", "^bb0:\n%y =", "unsupported 3:1: the body is one block without a label; found '^bb0'"},
         {"SecondBlock", "return", "^bb1:\nreturn", "corrupt_file 4:1: the body is one block; found '^bb1'"},
         {"BlockAfterReturn", "}\n}\n", "^bb1:\n}\n}\n",
          "corrupt_file 5:1: return is the last operation, in the only block; found '^bb1'"},
         {"OperationAfterReturn", "}\n}\n", "%z = " + std::string(kOp) + "}\n}\n",
          "corrupt_file 5:1: return is the last operation"},
         {"ForeignOperation", "lattice.elementwise", "arith.addf",
          "corrupt_file 3:6: the body holds operations of the dialect lattice, then return; found 'arith.addf'"},
         {"BareOperation", "lattice.elementwise", "elementwise",
          "corrupt_file 3:6: the body holds operations of the dialect lattice"},
         {"UnknownOperation", "lattice.elementwise", "lattice.quantized_conv3d",
          "corrupt_file 3:6: the operation is one of the schema or of an extension; found 'lattice.quantized_conv3d'"},
         {"GenericOperation", "lattice.elementwise", "\"lattice.elementwise\"",
          "unsupported 3:6: operations are not in generic form"},
         {"ArgumentLocation", "%x: $T", "%x: $T loc(unknown)",
          "unsupported 2:40: arguments are (%name: TYPE, ...); found 'loc'"},
         {"OperationLocation", "\nreturn", " loc(unknown)\nreturn",
          "unsupported 3:83: the body holds operations of the dialect lattice"},
         {"ReturnCount", "return %y : $T", "return %y, %x : $T, $T",
          "corrupt_file 4:8: return has as many values as the signature, 1; found 2"},
         {"ReturnNothing", "return %y : $T", "return",
          "corrupt_file 5:1: return has as many values as the signature, 1; found 0"},
         {"ReturnTrailingComma", "return %y : $T", "return %y, : $T",
          "corrupt_file 4:12: an operand is a value, %name; found ':'"},
         {"ReturnTrailingTypes", "return %y : $T", "return %y : $T,", "corrupt_file 4:28: return is the last"},
         {"ReturnWithoutTypes", "return %y : $T", "return %y",
          "corrupt_file 5:1: return's values are followed by their types; found '}'"},
         {"ReturnOtherType", "-> $T {\n", "-> $U {\n",
          "corrupt_file 4:13: the type is that of the signature, tensor<?x8xf16>; found tensor<?x8xf32>"},
         {"ReturnUseType", "return %y : $T", "return %y : $U",
          "corrupt_file 4:13: the type is that of the definition of %y, tensor<?x8xf32>; found tensor<?x8xf16>"});

REFUSALS(Values,  //
         {"Undefined", "elementwise %x", "elementwise %z",
          "corrupt_file 3:26: a value is defined before its use; found '%z'"},
         {"OwnResult", "elementwise %x", "elementwise %y",
          "corrupt_file 3:26: a value is defined before its use; found '%y'"},
         {"UndefinedReturn", "return %y", "return %z",
          "corrupt_file 4:8: a value is defined before its use; found '%z'"},
         {"Redefined", "%y =", "%x =", "corrupt_file 3:1: a value is defined once; found '%x' again"},
         {"ArgumentTwice", "%x: $T", "%x: $T, %x: $T", "corrupt_file 2:41: a value is defined once; found '%x' again"},
         {"UseType", "($T)", "($U)",
          "corrupt_file 3:47: the type is that of the definition of %x, tensor<?x8xf32>; found tensor<?x8xf16>"},
         {"FewerTypes", "($T)", "()", "corrupt_file 3:47: a type is tensor<...>"},
         {"MoreTypes", "($T)", "($T, $T)", "corrupt_file 3:62: every type belongs to an operand; found ','"},
         {"GroupedResults", "%y =", "%y:2 =", "unsupported 3:3: results are not grouped; found ':'"},
         {"GroupedUse", "elementwise %x", "elementwise %x#0", "unsupported 3:28: results are not grouped; found '#0'"},
         {"NoResultName", "%y =", "", "unsupported 3:2: the results of an operation are named; found no %name ="},
         {"MoreNames",
          "%y =", "%y, %z =", "corrupt_file 3:1: every result has a name and a type; 2 names; found 1 types"},
         {"MoreResultTypes", ") -> $T\n", ") -> ($T, $T)\n",
          "corrupt_file 3:1: every result has a name and a type; 1 names; found 2 types"},
         {"NoOperand", "elementwise %x", "elementwise", "corrupt_file 3:26: an operand is a value, %name; found '{'"},
         {"NameWithoutPercent", "elementwise %x", "elementwise x",
          "corrupt_file 3:26: an operand is a value, %name; found 'x'"},
         {"NoSignature", " : ($T) -> $T\n", "\n",
          "corrupt_file 4:1: operands and attributes are followed by : (TYPE, ...) -> TYPE; found 'return'"},
         {"NoParentheses", "($T) ->", "$T ->",
          "corrupt_file 3:46: operands and attributes are followed by : (TYPE, ...) -> TYPE; found 'tensor'"});

}  // namespace
}  // namespace lattice::artifact
