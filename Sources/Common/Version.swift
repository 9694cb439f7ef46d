/// The version of this program, as `--version`, the journal and the User-Agent give it. See CHANGELOG.md.
package let programVersion = "0.1.0"
