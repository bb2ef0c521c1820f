// SPDX-License-Identifier: MIT
pragma solidity ^0.8.20;
contract Token {
    mapping(address => uint256) public balanceOf;
    mapping(address => mapping(address => uint256)) public allowance;
    uint256 public totalSupply;
    event Transfer(address indexed from, address indexed to, uint256 value);
    constructor() { totalSupply = 1e24; balanceOf[msg.sender] = 1e24; }
    function transfer(address to, uint256 v) external returns (bool) { _move(msg.sender, to, v); return true; }
    function approve(address s, uint256 v) external returns (bool) { allowance[msg.sender][s] = v; return true; }
    function transferFrom(address f, address to, uint256 v) external returns (bool) { allowance[f][msg.sender] -= v; _move(f, to, v); return true; }
    function _move(address f, address to, uint256 v) internal { require(balanceOf[f] >= v, "insufficient"); unchecked { balanceOf[f] -= v; balanceOf[to] += v; } emit Transfer(f, to, v); }
    function sum(uint256 n) external pure returns (uint256 s) { for (uint256 i = 0; i < n; i++) s += i * i % 7; }
}
