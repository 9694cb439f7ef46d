/// The version of this program, as `--version`, the journal and the User-Agent give it. CHANGELOG.md says what is in it.
package let programVersion = "0.1.0"
